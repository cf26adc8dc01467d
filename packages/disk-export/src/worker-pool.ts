import { Worker } from "node:worker_threads";
import type { ResourceLimits, TransferListItem } from "node:worker_threads";

import type { CallOptions } from "@lamella/refs";

export interface WorkerPoolOptions {
  /**
   * What each thread runs: the text of a CommonJS script that answers every message with `{ result }` or `{ error }`. A text, not a
   * file: it has to work from a package, from a bundle and from TypeScript under a test runner.
   */
  script: string;
  /** How many threads at most; they are started as jobs come. */
  size: number;
}

/**
 * Threads that do jobs side by side. They do not keep the process alive while idle. Whoever makes the pool disposes of it: that ends
 * the threads at once, and jobs that are not done reject.
 */
export interface WorkerPool<Job, Result> extends AsyncDisposable {
  readonly size: number;
  /**
   * Does a job, when a thread is free; jobs begin in the order of the calls.
   * @throws what the thread throws, `signal.reason` for a job that has not begun
   */
  run(job: Job, options?: CallOptions & { transfer?: readonly TransferListItem[] }): Promise<Result>;
}

/** What threads work on lies in buffers: young objects are few, and by default each thread would let them take three times as much. */
const RESOURCE_LIMITS: ResourceLimits = { maxYoungGenerationSizeMb: 16 };

interface Task {
  readonly job: unknown;
  readonly transfer: readonly TransferListItem[];
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: never) => void;
  readonly reject: (reason: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  task: Task | undefined;
}

export function createWorkerPool<Job, Result>({ script, size }: WorkerPoolOptions): WorkerPool<Job, Result> {
  const threads: Thread[] = [];
  const waiting: Task[] = [];
  let failure: Error | undefined;

  function startThread(): Thread {
    // The process's own options may say that a script's text is a module.
    const worker = new Worker(script, { eval: true, execArgv: [], resourceLimits: RESOURCE_LIMITS });
    const thread: Thread = { worker, task: undefined };
    thread.worker.on("message", ({ result, error }: { result?: never; error?: unknown }) => {
      const { task } = thread;
      thread.task = undefined;
      thread.worker.unref();
      if (error === undefined) task?.resolve(result as never);
      else task?.reject(error);
      beginTasks();
    });
    thread.worker.on("error", fail);
    thread.worker.on("exit", (code) => fail(new Error(`a worker thread ended with code ${code}`)));
    threads.push(thread);
    return thread;
  }

  function beginTasks(): void {
    while (waiting.length > 0) {
      const idle =
        threads.find(({ task }) => task === undefined) ?? (threads.length < size ? startThread() : undefined);
      if (idle === undefined) return;
      const task = waiting.shift()!;
      if (task.signal?.aborted === true) {
        task.reject(task.signal.reason);
        continue;
      }
      idle.task = task;
      idle.worker.ref();
      idle.worker.postMessage(task.job, task.transfer);
    }
  }

  function fail(error: Error): void {
    failure ??= error;
    const tasks = [...threads.flatMap(({ task }) => task ?? []), ...waiting.splice(0)];
    for (const thread of threads) thread.task = undefined;
    for (const task of tasks) task.reject(failure);
  }

  return {
    size,
    run: (job, { signal, transfer = [] } = {}) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        if (failure !== undefined) throw failure;
        waiting.push({ job, transfer, signal, resolve, reject });
        beginTasks();
      }),
    async [Symbol.asyncDispose]() {
      fail(new Error("the worker pool was closed"));
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}
