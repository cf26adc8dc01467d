/**
 * A process of its own that does one operation: `node worker.js OPERATION STORE IMAGES [SPARE-FILES]`. Says `begin`, and `done` when the store has promised
 * it; or else ends with 1 and says what the error was, as JSON.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, writeSync } from "node:fs";

import { errorReport } from "./error-report.js";
import { performIn } from "./operations.js";

const [operation = "", store = "", images = "", spareFiles] = process.argv.slice(2);
if (spareFiles !== undefined) limitFiles(Number(spareFiles));
writeSync(1, "begin\n");
try {
  await performIn({ store, images }, operation, () => writeSync(1, "done\n"));
} catch (error) {
  writeSync(1, `${JSON.stringify(errorReport(error))}\n`);
  process.exitCode = 1;
}

/** From now on so many files more may be open than there are; what was to be loaded has been. */
function limitFiles(spare: number): void {
  // the listing has one open itself
  const open = readdirSync("/proc/self/fd").length - 1;
  execFileSync("prlimit", ["--pid", `${process.pid}`, `--nofile=${open + spare}`]);
}
