/** A running worker. */
export interface Worker {
  /** When it has said that it is ready; rejects with what it said on stderr if it ends before. */
  readonly ready: Promise<void>;
  /** What it said, when it has ended well; otherwise rejects. */
  readonly ended: Promise<string>;
  /** Ends it by SIGKILL, and waits for that. */
  kill(): Promise<void>;
}

/** Starts a program of Node on a task. */
export function startWorker(program: URL, ...task: readonly string[]): Worker;
