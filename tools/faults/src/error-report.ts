import { LamellaError } from "@lamella/refs";

/** What an error is for whoever calls. */
export interface ErrorReport {
  readonly isTyped: boolean;
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

export function errorReport(error: unknown): ErrorReport {
  if (!(error instanceof Error))
    return { isTyped: false, name: "", code: undefined, message: String(error), stack: "" };
  // closing has failed after the work had: the first is the one that counts, and both have to be of a type
  if ("suppressed" in error && "error" in error) {
    const [first, last] = [errorReport(error.suppressed), errorReport(error.error)];
    return first.isTyped ? { ...first, isTyped: last.isTyped, stack: `${first.stack}\nthen ${last.stack}` } : first;
  }
  const { code } = error as { code?: unknown };
  return {
    isTyped: error instanceof LamellaError,
    name: error.name,
    code: typeof code === "string" ? code : undefined,
    message: error.message,
    stack: error.stack,
  };
}
