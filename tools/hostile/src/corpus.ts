import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { attributeCases } from "./cases/attributes.js";
import { compressionCases } from "./cases/compression.js";
import { documentCases } from "./cases/documents.js";
import { headerCases } from "./cases/headers.js";
import { linkCases } from "./cases/links.js";
import { pathCases } from "./cases/paths.js";
import { paxCases } from "./cases/pax.js";
import { sparseCases } from "./cases/sparse.js";
import { whiteoutCases } from "./cases/whiteouts.js";
import { caseId, type HostileCase } from "./hostile-case.js";

/** All of the corpus, ordered by row; what has none comes last. */
export const hostileCases: readonly HostileCase[] = [
  ...pathCases,
  ...linkCases,
  ...whiteoutCases,
  ...headerCases,
  ...paxCases,
  ...sparseCases,
  ...attributeCases,
  ...compressionCases,
  ...documentCases,
].sort((one, other) => (one.row ?? Infinity) - (other.row ?? Infinity));

const run = promisify(execFile);

/**
 * Writes each case into a directory of its own below `directory`, and `cases.json`, which says what each must get. The same
 * bytes each time, but for the FIFO's and symlinks' inodes.
 */
export async function writeCorpus(directory: string, cases: readonly HostileCase[] = hostileCases): Promise<void> {
  for (const each of cases) await writeCase(join(directory, caseId(each)), each);
  const rows = cases.map((each) => {
    const { row, title, rule, expected } = each;
    return { id: caseId(each), row, title, rule, source: sourceOf(each, "."), expected };
  });
  await writeFile(join(directory, "cases.json"), `${JSON.stringify(rows, undefined, 1)}\n`);
}

/** What a command is given to read the case that `writeCorpus` wrote into `directory`. */
export function sourceOf(each: HostileCase, directory: string): string {
  const own = `${directory}/${caseId(each)}`;
  if (each.source === undefined) return `oci:${own}:latest`;
  const [transport = "", path = ""] = each.source.split(":");
  return `${transport}:${own}/${path}`;
}

async function writeCase(directory: string, each: HostileCase): Promise<void> {
  for (const layoutFile of each.files()) {
    const path = join(directory, layoutFile.path);
    await mkdir(dirname(path), { recursive: true });
    if ("bytes" in layoutFile) await writeFile(path, layoutFile.bytes);
    else if ("symlinkTo" in layoutFile) await symlink(layoutFile.symlinkTo, path);
    else await run("mkfifo", [path]);
  }
}
