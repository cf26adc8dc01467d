/** Something that is left out because what is written cannot hold it. */
export interface Loss {
  /** What is lost, as a noun phrase: "xattrs", "nanoseconds of mtime". */
  readonly what: string;
  /** How many entries lose it. */
  readonly count: number;
  /** The first of them, at most ten. */
  readonly paths: readonly string[];
}

const PATHS_KEPT = 10;

/** Gathers losses while something is written or planned. */
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
