import { rmSync } from "node:fs";
import { join } from "node:path";

import { createRandom } from "@lamella/fuzz";
import type { Random } from "@lamella/fuzz";

import { requireIntact, requireTidy, sameNames } from "./bench.js";
import type { Bench } from "./bench.js";
import { OPERATIONS } from "./operations.js";
import type { Place } from "./operations.js";
import { runWorker } from "./run-worker.js";
import type { WorkerOptions, WorkerOutcome } from "./run-worker.js";
import { CALLS, pointOf, readTrace } from "./shim.js";
import type { Call, FaultErrno, FaultKind, TracedCall } from "./shim.js";
import { temporaryFiles } from "./stored-files.js";

/** What happens to an operation, and when: at a call by its number, or so many milliseconds after its beginning. */
export interface FaultCase {
  readonly operation: string;
  readonly kind: FaultKind | "timer";
  readonly at: number;
  /** Of a call that fails. */
  readonly errno?: FaultErrno | undefined;
}

/** How a case ended that found no fault. */
export interface CaseResult {
  /** The call that was hit: "rename blobs/sha256/…"; `timer` */
  readonly point: string;
  readonly outcome: "killed" | "failed" | "done";
  /** Of the error that the operation ended with. */
  readonly code: string | undefined;
}

const KILLING: readonly Call[] = CALLS.filter((call) => call !== "read");
/** Which calls fail so. A system that has no room, or a device that is broken, still lets files go. */
const FAILING: Readonly<Record<FaultErrno, readonly Call[]>> = {
  ENOSPC: ["open", "write", "mkdir", "truncate", "rename", "link", "fsync"],
  EIO: ["write", "fsync", "truncate", "rename"],
  EMFILE: ["open", "read"],
};

/** `pull@before@37`, `gc@timer@120`, `convert-ext4@once@12@ENOSPC` */
export function formatCase({ operation, kind, at, errno }: FaultCase): string {
  return [operation, kind, at, ...(errno === undefined ? [] : [errno])].join("@");
}

export function parseCase(text: string): FaultCase {
  const [operation = "", kind = "", at = "", errno] = text.split("@");
  const isKnown =
    ["before", "half", "after", "once", "on", "timer"].includes(kind) && Object.hasOwn(OPERATIONS, operation);
  if (!isKnown || !/^\d+$/.test(at) || (errno !== undefined && !Object.hasOwn(FAILING, errno))) {
    throw new Error(`cannot repeat ${text}: not OPERATION@before|half|after|timer|once|on@NUMBER[@ERRNO]`);
  }
  return { operation, kind: kind as FaultCase["kind"], at: Number(at), errno: errno as FaultErrno | undefined };
}

/** A process that is killed at a random point of a random operation; one in eight by a timer. */
export function chooseKill(bench: Bench, random: Random): FaultCase {
  const [operation, { calls, ms }] = random.pick([...bench.rehearsals]);
  if (random.once(8)) return { operation, kind: "timer", at: random.below(Math.ceil(ms * 1.2)) };
  const { call, at } = chooseCall(calls, KILLING, random);
  const kinds: FaultKind[] = call === "write" ? ["before", "half", "after"] : ["before", "after"];
  return { operation, kind: random.pick(kinds), at };
}

/** A call that fails, alone or with all that follow. */
export function chooseFailure(bench: Bench, random: Random): FaultCase {
  const [operation, { calls }] = random.pick([...bench.rehearsals]);
  const errno = random.pick(["ENOSPC", "EIO", "EMFILE"] as const);
  const { at } = chooseCall(calls, FAILING[errno], random);
  return { operation, kind: random.pick(["once", "on"]), at, errno };
}

/** Most calls are writes of the database: every second choice is among the points that there are, every other among the calls. */
function chooseCall(
  calls: readonly TracedCall[],
  kinds: readonly Call[],
  random: Random,
): { readonly call: Call | undefined; readonly at: number } {
  const counted = calls.filter(({ call }) => kinds.includes(call));
  const point = random.once(2) ? random.pick([...new Set(counted.map(pointOf))]) : undefined;
  const among = counted.flatMap((call, index) => (point === undefined || pointOf(call) === point ? [index] : []));
  const index = random.pick(among);
  return { call: counted[index]?.call, at: index + 1 };
}

/**
 * Lets a case happen to a fresh store. Then a check finds nothing, what was there is whole, names are those of before or of after, what was promised
 * stays; the operation succeeds, and garbage collection leaves nothing. Throws what is not so.
 */
export async function runCase(bench: Bench, fault: FaultCase): Promise<CaseResult> {
  const place = await bench.freshStore();
  try {
    const { outcome, point } = await suffer(fault, place, place.directory);
    if (!outcome.killed && outcome.error !== undefined) requireTyped(outcome);
    if (!outcome.killed && fault.kind === "once") requireNothingTemporary(place.store);
    const names = await requireIntact(bench, place.store);
    const after = bench.namesAfter(fault.operation);
    const isDone = sameNames(names, after);
    if (outcome.acknowledged && !isDone) throw new Error("what was promised is not there");
    if (!isDone && !sameNames(names, bench.namesAfter())) throw new Error(`names are ${[...names.keys()].join(", ")}`);
    await requireTidy(bench, place, fault.operation);
    const ended = outcome.killed ? "killed" : outcome.error === undefined ? "done" : "failed";
    return { point, outcome: ended, code: outcome.error?.code };
  } finally {
    rmSync(place.directory, { recursive: true });
  }
}

async function suffer(
  { operation, kind, at, errno }: FaultCase,
  place: Place,
  directory: string,
): Promise<{ outcome: WorkerOutcome; point: string }> {
  if (kind === "timer") return { outcome: await runWorker(operation, place, { killAfterMs: at }), point: "timer" };
  const trace = join(directory, "trace");
  const calls = errno === undefined ? KILLING : FAILING[errno];
  const shim: WorkerOptions["shim"] = { directory: place.store, trace, calls, fault: { at, kind, errno } };
  const outcome = await runWorker(operation, place, { shim });
  const hit = readTrace(trace).find(({ number }) => number === at);
  return { outcome, point: hit === undefined ? "nowhere" : pointOf(hit) };
}

/** Callers test codes: what a full disk does to them has one. */
export function requireTyped({ error }: WorkerOutcome): void {
  if (error?.isTyped === false) throw new Error(`the error has no type: ${error.stack}`);
}

export function requireNothingTemporary(directory: string): void {
  const left = temporaryFiles(directory);
  if (left.length > 0) throw new Error(`temporary files were left: ${left.join(", ")}`);
}

/** A case that found a fault of the store. */
export interface FailedCase {
  readonly fault: FaultCase;
  readonly error: Error;
}

export interface MatrixReport {
  readonly cases: number;
  /** By operation, how often each point was hit and how the operation ended. */
  readonly counts: ReadonlyMap<string, number>;
  readonly points: ReadonlyMap<string, number>;
  readonly failed: readonly FailedCase[];
}

export interface MatrixOptions {
  readonly seed: number;
  readonly choose: (bench: Bench, random: Random) => FaultCase;
  /** Ends after so many cases, or so many seconds. */
  readonly cases?: number | undefined;
  readonly seconds?: number | undefined;
  readonly onFailed?: ((failed: FailedCase) => void) | undefined;
}

/** Runs random cases, which a seed fixes. */
export async function runMatrix(bench: Bench, options: MatrixOptions): Promise<MatrixReport> {
  const { cases = Infinity, seconds = Infinity } = options;
  const random = createRandom(options.seed);
  const end = Date.now() + seconds * 1000;
  const counts = new Map<string, number>();
  const points = new Map<string, number>();
  const failed: FailedCase[] = [];
  let count = 0;
  for (; count < cases && Date.now() < end; count++) {
    const fault = options.choose(bench, random);
    try {
      const { point, outcome, code } = await runCase(bench, fault);
      add(counts, [fault.operation, outcome, code].filter((part) => part !== undefined).join(" "));
      add(points, point);
    } catch (error) {
      const found = { fault, error: error as Error };
      failed.push(found);
      options.onFailed?.(found);
    }
  }
  return { cases: count, counts, points, failed };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
