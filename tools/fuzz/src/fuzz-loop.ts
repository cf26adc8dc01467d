import { startCoverage } from "./coverage.js";
import { createRandom } from "./random.js";
import type { FuzzTarget } from "./target.js";

/** Where the input at work is for another thread to see, should this one never come back. */
interface Watch {
  begin(input: Uint8Array): void;
  end(): void;
}

export interface FuzzLoopOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly watch: Watch;
  onFault(input: Uint8Array, error: unknown): void;
}

/** What a run came to. */
export interface FuzzReport {
  readonly target: string;
  readonly runs: number;
  /** How many inputs were taken and not refused. */
  readonly taken: number;
  /** Inputs that were kept since they reached new code, the seeds included. */
  readonly kept: number;
  /** Characters of source that have run: with the seeds alone, and in the end. */
  readonly coveredBySeeds: number;
  readonly covered: number;
}

/** Asking for coverage costs as much as thirty runs. */
const BATCH = 16;
const MEMORY_GROWTH_BYTES = 400 * 2 ** 20;
const OUR_CODE = /\/packages\/[^/]+\/dist\//;

/** Changes inputs that have reached new code, again and again. Ends early after a fault. */
export async function fuzzLoop(target: FuzzTarget, options: FuzzLoopOptions): Promise<FuzzReport> {
  const { seconds, seed, watch, onFault } = options;
  const random = createRandom(seed);
  const coverage = startCoverage((url) => OUR_CODE.test(url));
  const kept: Uint8Array[] = [...(await target.seeds(seed))];
  const until = Date.now() + 1000 * seconds;
  let runs = 0;
  let taken = 0;
  let failed = false;

  async function run(input: Uint8Array): Promise<void> {
    runs++;
    watch.begin(input);
    try {
      if (await target.run(input)) taken++;
    } catch (error) {
      failed = true;
      onFault(input, error);
    } finally {
      watch.end();
    }
  }

  for (const input of kept) if (!failed) await run(input);
  coverage.grown();
  const coveredBySeeds = coverage.size;
  const baseBytes = process.memoryUsage.rss();
  while (Date.now() < until && !failed) {
    const batch = Array.from({ length: BATCH }, () => target.mutate(random.pick(kept), random, random.pick(kept)));
    for (const input of batch) if (!failed) await run(input);
    if (coverage.grown()) kept.push(...batch);
    const growth = process.memoryUsage.rss() - baseBytes;
    if (growth > MEMORY_GROWTH_BYTES) {
      onFault(batch.at(-1) ?? new Uint8Array(), new Error(`memory has grown by ${growth} bytes`));
      break;
    }
  }
  coverage.close();
  return { target: target.name, runs, taken, kept: kept.length, coveredBySeeds, covered: coverage.size };
}
