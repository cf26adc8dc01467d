import { readFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector";
import { fileURLToPath } from "node:url";

/** Which of our code has ever run in this thread, by V8's own counting of blocks. */
export interface Coverage {
  /** Whether code has run since the last call that had not run before. */
  grown(): boolean;
  /** Characters of source that have run. */
  readonly size: number;
  close(): void;
}

/** Counts in the scripts whose URL `isOurs` accepts. */
export function startCoverage(isOurs: (url: string) => boolean): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const covered = new Map<string, Uint8Array>();
  let size = 0;

  function add(script: Profiler.ScriptCoverage): void {
    let ever = covered.get(script.url);
    if (ever === undefined) {
      ever = new Uint8Array(readFileSync(fileURLToPath(script.url), "utf8").length);
      covered.set(script.url, ever);
    }
    const now = new Uint8Array(ever.length);
    // A range is painted over by those inside of it, which come later.
    for (const { ranges } of script.functions) {
      for (const { startOffset, endOffset, count } of ranges) now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    }
    for (const [index, ran] of now.entries()) {
      if (ran === 0 || ever[index] !== 0) continue;
      ever[index] = 1;
      size++;
    }
  }

  return {
    grown() {
      const before = size;
      // Answered before it returns.
      session.post("Profiler.takePreciseCoverage", (error, { result } = { result: [] }) => {
        if (error !== null) throw error;
        for (const script of result) if (isOurs(script.url)) add(script);
      });
      return size > before;
    },
    get size() {
      return size;
    },
    close: () => session.disconnect(),
  };
}
