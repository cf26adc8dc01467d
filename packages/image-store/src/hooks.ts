import { LamellaError } from "@lamella/refs";

/**
 * - `resolve`: what the name stands for is asked for.
 * - `build`: all of a build, from its start in the queue to its end; `pull`, `convert` and `record` are parts of it.
 */
export type PhaseName = "resolve" | "build" | "pull" | "convert" | "record";

export interface Phase {
  readonly phase: PhaseName;
  /** The image's name. */
  readonly name: string;
  /** Which build it is part of. */
  readonly build?: number | undefined;
}

export interface PhaseEnd {
  readonly durationMs: number;
  readonly outcome: "done" | "failed" | "stopped";
  /** Of what it failed with, where that has one. */
  readonly errorCode?: string | undefined;
}

export interface QueueState {
  /** Builds under way in this process. */
  readonly active: number;
  /** Builds that wait for it. */
  readonly pending: number;
}

/**
 * For metrics and traces. Hooks are called in passing and must not throw: what one throws is thrown again where nobody catches it, and changes
 * nothing of the work.
 */
export interface ManagerHooks {
  /** A phase begins. What it returns is called at the phase's end. */
  onPhase?: ((phase: Phase) => ((end: PhaseEnd) => void) | void) | undefined;
  onQueue?: ((state: QueueState) => void) | undefined;
}

/** Does `work` as a phase. */
export async function asPhase<Result>(
  { onPhase }: ManagerHooks,
  phase: Phase,
  work: () => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  const started = performance.now();
  const ended = inPassing(() => onPhase?.(phase));
  const end = (how: Pick<PhaseEnd, "outcome" | "errorCode">): void =>
    inPassing(() => ended?.({ durationMs: performance.now() - started, ...how }));
  try {
    const result = await work();
    end({ outcome: "done" });
    return result;
  } catch (error) {
    const errorCode = error instanceof LamellaError ? error.code : undefined;
    end({ outcome: signal?.aborted === true ? "stopped" : "failed", errorCode });
    throw error;
  }
}

/** What somebody else's callback throws is not for the work to deal with. */
export function inPassing<Result>(call: () => Result): Result | undefined {
  try {
    return call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
    return undefined;
  }
}
