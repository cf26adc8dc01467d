import type { CallOptions } from "@lamella/refs";

import type { ReadPriority } from "./blob-reader.js";
import { LazyLayerError } from "./errors.js";

export interface SchedulerOptions {
  /** Requests at a time; 8 by default. */
  concurrency?: number | undefined;
}

interface ScheduleOptions extends CallOptions {
  readonly priority: ReadPriority;
  /** How long it waits for its turn while nothing else gets on either, and what it is, for the message. */
  readonly patience: { readonly ms: number; readonly act: string };
}

/** Work that waits for its turn, or has it. */
interface ScheduledWork<Result> {
  readonly result: Promise<Result>;
  /** Makes background work that still waits work that somebody waits for. */
  promote(): void;
}

/**
 * Whose turn it is: work that somebody waits for goes first, and yet work in the background, while there is any, begins at least every fourth time.
 * Work in the background never takes more than half of the places: who waits finds one free, or soon freed by somebody who waited.
 */
export interface Scheduler {
  /**
   * A signal that aborts while the work waits takes it out; then it is the work's own affair.
   * @throws {LazyLayerError} `timeout`, from the result
   */
  run<Result>(work: () => Promise<Result>, options: ScheduleOptions): ScheduledWork<Result>;
  /** Some work gets on. */
  progress(): void;
}

interface Job {
  priority: ReadPriority;
  start(): void;
}

const DEFAULT_CONCURRENCY = 8;
/** One turn in so many is the background's. */
const BACKGROUND_TURN = 4;

export function createScheduler({ concurrency = DEFAULT_CONCURRENCY }: SchedulerOptions = {}): Scheduler {
  const waiting: Record<ReadPriority, Job[]> = { demand: [], background: [] };
  const running: Record<ReadPriority, number> = { demand: 0, background: 0 };
  const backgroundPlaces = Math.max(1, concurrency >> 1);
  let turnsWithout = 0;
  let progressAt = performance.now();

  function next(): Job | undefined {
    if (running.demand + running.background >= concurrency) return undefined;
    const [background] = waiting.background;
    const [demand] = waiting.demand;
    const canBackground = background !== undefined && running.background < backgroundPlaces;
    if (canBackground && (demand === undefined || turnsWithout >= BACKGROUND_TURN - 1)) {
      turnsWithout = 0;
      return background;
    }
    if (demand !== undefined) turnsWithout = background === undefined ? 0 : turnsWithout + 1;
    return demand;
  }

  function startNext(): void {
    for (let job = next(); job !== undefined; job = next()) {
      job.start();
    }
  }

  function remove(job: Job): void {
    const queue = waiting[job.priority];
    const at = queue.indexOf(job);
    if (at >= 0) queue.splice(at, 1);
  }

  return {
    progress() {
      progressAt = performance.now();
    },
    run<Result>(work: () => Promise<Result>, { priority, patience, signal }: ScheduleOptions): ScheduledWork<Result> {
      let isWaiting = true;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const job: Job = { priority, start: () => {} };
      const result = new Promise<Result>((resolve, reject) => {
        const leave = (): void => {
          isWaiting = false;
          clearTimeout(timer);
          signal?.removeEventListener("abort", abort);
          remove(job);
        };
        const abort = (): void => {
          leave();
          reject(signal?.reason);
        };
        const watch = (ms: number): void => {
          timer = setTimeout(() => {
            const idleMs = performance.now() - progressAt;
            if (idleMs < patience.ms) return watch(patience.ms - idleMs);
            leave();
            const state = `the registry gave nothing for ${patience.ms} ms`;
            reject(new LazyLayerError("timeout", `cannot ${patience.act}: ${state}`));
          }, ms);
        };
        job.start = () => {
          leave();
          const place = job.priority;
          running[place]++;
          work()
            .then(resolve, reject)
            .finally(() => {
              running[place]--;
              startNext();
            });
        };
        if (signal?.aborted === true) return abort();
        watch(patience.ms);
        signal?.addEventListener("abort", abort, { once: true });
      });
      if (isWaiting) {
        waiting[priority].push(job);
        startNext();
      }
      return {
        result,
        promote() {
          if (!isWaiting || job.priority === "demand") return;
          remove(job);
          job.priority = "demand";
          waiting.demand.push(job);
          startNext();
        },
      };
    },
  };
}
