import type { CallOptions } from "@lamella/refs";

import type { Entry, FileTree } from "../file-tree.js";
import type { TarInput } from "./writer.js";

/** What a tar says of an entry that is not a later name of a hard link. */
export function tarInputOf(tree: FileTree, entry: Entry): TarInput {
  return entry.kind === "file" ? { ...entry, contents: (call) => storedBytes(tree, entry, call) } : entry;
}

/** What a tar says of a further name of an inode, of which it has said `target` already. */
export function tarLinkTo(entry: Entry, target: string): TarInput {
  const { extents: _, ...rest } = entry;
  return { ...rest, kind: "hardlink", linkTarget: target, size: 0 };
}

/** The entry, not later than a time (https://reproducible-builds.org/specs/source-date-epoch/). */
export function clampTime(entry: TarInput, epochSeconds: number): TarInput {
  const isLater =
    entry.mtimeSeconds > epochSeconds || (entry.mtimeSeconds === epochSeconds && entry.mtimeNanoseconds > 0);
  return isLater ? { ...entry, mtimeSeconds: epochSeconds, mtimeNanoseconds: 0 } : entry;
}

/** A file's bytes without its holes. */
async function* storedBytes(tree: FileTree, entry: Entry, { signal }: CallOptions): AsyncGenerator<Uint8Array> {
  for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }]) {
    yield* tree.read(entry, { offset, length, signal });
  }
}
