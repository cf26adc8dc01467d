import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Ends the connections of databases that were closed. The SQLite of older Nodes leaves that to the collection of JavaScript's garbage; until then
 * this process has files open and locks, as no process has that was killed.
 */
export async function releaseClosed(): Promise<void> {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  await setImmediate();
}
