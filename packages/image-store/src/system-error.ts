import { ImageStoreError } from "./errors.js";
import type { ImageStoreErrorCode } from "./errors.js";

interface SystemFailure {
  readonly code: ImageStoreErrorCode;
  /** What is the matter, and what to do. */
  readonly state: string;
}

const NO_SPACE = {
  code: "no_space",
  state: "the file system has no room or no inodes left; remove images and collect garbage, or make room elsewhere",
} as const;
const TOO_MANY_FILES = {
  code: "too_many_files",
  state: "too many files are open; close some or raise the limit (ulimit -n)",
} as const;

const FAILURES: Readonly<Record<string, SystemFailure>> = {
  ENOSPC: NO_SPACE,
  EDQUOT: { code: "no_space", state: "the disk quota is used up; remove images and collect garbage" },
  EMFILE: TOO_MANY_FILES,
  ENFILE: TOO_MANY_FILES,
  EIO: { code: "io_failed", state: "the device failed to read or write (EIO)" },
};

/** What of the system was in the way, of an error or what caused it: no fault of the bytes that were read or written. */
export function systemFailure(error: unknown): SystemFailure | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const failure = code === undefined || !Object.hasOwn(FAILURES, code) ? undefined : FAILURES[code];
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/** Does work whose failures for want of room, of open files or of a sound device are errors of the store. @param action after "cannot" */
export async function explained<Result>(action: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const failure = error instanceof ImageStoreError ? undefined : systemFailure(error);
    if (failure === undefined) throw error;
    throw new ImageStoreError(failure.code, `cannot ${action}: ${failure.state}`, { cause: error });
  }
}

/** The same, of what comes one by one. */
export async function* explainedEach<Item>(action: string, items: AsyncIterable<Item>): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await explained(action, () => iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
