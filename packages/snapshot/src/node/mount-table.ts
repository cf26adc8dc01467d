import { readFile } from "node:fs/promises";

/** How many file systems are mounted on a directory, one over the other (proc_pid_mountinfo(5)). */
export async function countMounts(target: string): Promise<number> {
  const table = await readFile("/proc/self/mountinfo", "latin1");
  const name = Buffer.from(target).toString("latin1");
  return table.split("\n").filter((line) => unescape(line.split(" ")[4] ?? "") === name).length;
}

/** Where file systems are mounted below a directory, the deepest names last; byte strings. Where there is no /proc, nobody can tell. */
export async function listMountsBelow(directory: string): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "latin1").catch(orMissing);
  const prefix = `${Buffer.from(directory).toString("latin1")}/`;
  const places = (table ?? "").split("\n").map((line) => unescape(line.split(" ")[4] ?? ""));
  return places.filter((place) => place.startsWith(prefix)).toSorted();
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** The kernel writes space, tab, newline and backslash in octal. */
function unescape(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
