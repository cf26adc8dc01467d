import { readFile } from "node:fs/promises";

/** A mount of this process's namespace (proc_pid_mountinfo(5)). Names are byte strings. */
export interface MountedFileSystem {
  /** `major:minor`, which no two mounted file systems share. */
  readonly device: string;
  readonly place: string;
  readonly type: string;
}

/** All mounts: of those on one directory the last is the one that is seen. */
export async function readMountTable(): Promise<MountedFileSystem[]> {
  return parseMountTable(await readFile("/proc/self/mountinfo", "latin1"));
}

export function parseMountTable(table: string): MountedFileSystem[] {
  return table.split("\n").flatMap((line) => {
    const [before = "", after] = line.split(" - ");
    const [, , device = "", , place = ""] = before.split(" ");
    const [type = ""] = after?.split(" ") ?? [];
    return after === undefined ? [] : [{ device, place: unescape(place), type }];
  });
}

/** The kernel writes space, tab, newline and backslash in octal. */
function unescape(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
