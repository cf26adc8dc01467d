import type { Loss } from "./disk-plan.js";

const PATHS_KEPT = 10;

/** Gathers what a format cannot hold while a plan is made. */
export interface LossCollector {
  /** One more entry loses `what` (a noun phrase, as {@link Loss.what} has it). Call it once for an entry and a `what`. */
  add(what: string, path: string): void;
  /** Everything gathered so far, in the order in which each `what` was first met. */
  list(): Loss[];
}

export function createLossCollector(): LossCollector {
  const found = new Map<string, { count: number; paths: string[] }>();
  return {
    add(what, path) {
      const loss = found.get(what);
      if (loss === undefined) {
        found.set(what, { count: 1, paths: [path] });
        return;
      }
      loss.count += 1;
      if (loss.paths.length < PATHS_KEPT) loss.paths.push(path);
    },
    list: () => Array.from(found, ([what, { count, paths }]) => ({ what, count, paths: [...paths] })),
  };
}
