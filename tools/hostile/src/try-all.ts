import type { HostileCase } from "./hostile-case.js";
import { tryCase, type TryOptions, type Verdict } from "./try-case.js";

export interface TryAllOptions extends TryOptions {
  /** Told of each verdict as it falls. */
  readonly onVerdict?: (verdict: Verdict) => void;
  /** How many cases are tried at the same time; two by default. */
  readonly concurrency?: number;
}

/** Tries cases, some at the same time. Gives the verdicts in the order of the cases. */
export async function tryAll(cases: readonly HostileCase[], options: TryAllOptions): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  const queue = cases.entries();
  const work = async (): Promise<void> => {
    for (const [index, each] of queue) {
      const verdict = await tryCase(each, options);
      verdicts[index] = verdict;
      options.onVerdict?.(verdict);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 2 }, work));
  return verdicts;
}
