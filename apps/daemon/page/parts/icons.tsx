import type { JSX } from "preact";

import type { Status } from "../api/types.js";

const STATUS_PATHS: Readonly<Record<Status, string>> = {
  pending: "M8 4.5V8l2.5 1.5",
  pulling: "M8 4v7M5 8.5 8 11.5l3-3",
  converting: "M4.5 6h7M4.5 10h7",
  ready: "M5 8.2 7.2 10.5 11 5.8",
  failed: "M5.5 5.5l5 5M10.5 5.5l-5 5",
  cancelled: "M5 8h6",
};

/** A ring with a sign in it: the status is not told by its colour alone. */
export function StatusIcon({ status }: { readonly status: Status }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.75" />
      <path d={STATUS_PATHS[status]} />
    </svg>
  );
}

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-top" d="M16 4 29 10.5 16 17 3 10.5Z" />
      <path d="M3 16 16 22.5 29 16" />
      <path d="M3 21.5 16 28 29 21.5" />
    </svg>
  );
}
