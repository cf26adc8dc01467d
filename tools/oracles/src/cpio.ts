import { readdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import type { Difference } from "./compare-trees.js";

const SECOND = 1_000_000_000n;

/**
 * Extracts a cpio archive into an existing directory with bsdtar; owners and devices need root.
 *
 * GNU cpio will not do: it leaves directories and symlinks at the time of extraction. The time of the root itself stays that of
 * extraction here too: see `cpioCannotHold`.
 */
export async function extractCpio(archive: string, directory: string, options: CallOptions = {}): Promise<void> {
  const parameters = ["-x", "-p", "--numeric-owner", "-f", archive, "-C", directory];
  await runCommand("bsdtar", parameters, { accept: [0], ...options });
}

/**
 * A rule for `compareTrees` with an extracted archive as the actual tree: what the newc format has no place for.
 * That is every extended attribute, parts of a second, and times outside of 0 to 2^32 - 1.
 */
export function cpioCannotHold({ path, field, expected, actual }: Difference): boolean {
  if (field.startsWith("xattr:")) return actual === undefined;
  if (field !== "mtime" || expected === undefined || actual === undefined) return false;
  const nanoseconds = BigInt(expected);
  const outside = nanoseconds < 0n || nanoseconds >= SECOND << 32n;
  return path === "" || outside || nanoseconds - (nanoseconds % SECOND) === BigInt(actual);
}

/** Packs a directory of ours, whose names are ASCII, as a newc archive. */
export async function createCpio(directory: string, archive: string, options: CallOptions = {}): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  const list = `${archive}.names`;
  await writeFile(
    list,
    names
      .sort()
      .map((name) => `${name}\0`)
      .join(""),
  );
  const parameters = ["--create", "--null", "--format=newc", "--owner=0:0", "--quiet", "-F", resolve(archive)];
  await runCommand("cpio", parameters, { accept: [0], cwd: directory, stdin: list, ...options });
}
