import { mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Memory, where there is enough of it: waiting for a disk would take most of the time, and a killed process loses nothing there either. */
const MEMORY = "/dev/shm";
const ENOUGH_BYTES = 1 << 30;

/** A new directory for stores that are not worth keeping. */
export function scratchDirectory(name: string): string {
  return mkdtempSync(join(hasMemory() ? MEMORY : tmpdir(), `lamella-${name}-`));
}

function hasMemory(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > ENOUGH_BYTES;
  } catch {
    return false;
  }
}
