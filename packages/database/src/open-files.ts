/** What is the matter, and what to do. */
export const TOO_MANY_FILES = "too many files are open; close some or raise the limit (ulimit -n)";

/** Whether a file could not be opened for want of others being closed. That says nothing about the file. */
export function isTooManyFiles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}
