import type { ComponentChildren, JSX } from "preact";

import { ApiError, messageOf } from "../api/request.js";

/** While there is nothing to show yet. */
export function Loading({ what }: { readonly what: string }): JSX.Element {
  return (
    <p class="note" role="status">
      Loading {what} …
    </p>
  );
}

/** Where there is nothing to show. */
export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <div class="note empty">{children}</div>;
}

export interface FailureProps {
  readonly error: unknown;
  readonly onRetry?: (() => void) | undefined;
}

/** What could not be done, as the daemon says it. */
export function Failure({ error, onRetry }: FailureProps): JSX.Element | null {
  // the prompt for a token says that already
  if (error instanceof ApiError && error.status === 401) return null;
  return (
    <div class="failure" role="alert">
      <p>{messageOf(error)}</p>
      {onRetry !== undefined && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
