import type { CallOptions } from "@lamella/refs";

import type { Entry, FileTree } from "../../file-tree.js";
import type { TarInput } from "../../tar/writer.js";

/**
 * What a tar says of a tree: every entry in the tree's order, later names of an inode as hard links to its first. Sockets, which a
 * tar cannot hold, are left out and told to `onSocket`.
 */
export async function* treeEntries(
  tree: FileTree,
  { onSocket, signal }: CallOptions & { onSocket(): void },
): AsyncGenerator<TarInput> {
  const firstNames = new Map<number, string>();
  for await (const entry of tree.entries({ signal })) {
    const first = firstNames.get(entry.inode);
    if (entry.kind === "socket") onSocket();
    else if (first !== undefined) yield hardLink(entry, first);
    else {
      if (entry.links > 1) firstNames.set(entry.inode, entry.path);
      yield entry.kind === "file" ? { ...entry, contents: (call) => storedBytes(tree, entry, call) } : entry;
    }
  }
}

function hardLink(entry: Entry, target: string): TarInput {
  const { extents: _, ...rest } = entry;
  return { ...rest, kind: "hardlink", linkTarget: target, size: 0 };
}

/** A file's bytes without its holes. */
async function* storedBytes(tree: FileTree, entry: Entry, { signal }: CallOptions): AsyncGenerator<Uint8Array> {
  for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }]) {
    yield* tree.read(entry, { offset, length, signal });
  }
}

/** Entries of which none is later than a time (https://reproducible-builds.org/specs/source-date-epoch/). */
export async function* clampTimes(entries: AsyncIterable<TarInput>, epochSeconds: number): AsyncGenerator<TarInput> {
  for await (const entry of entries) {
    const isLater =
      entry.mtimeSeconds > epochSeconds || (entry.mtimeSeconds === epochSeconds && entry.mtimeNanoseconds > 0);
    yield isLater ? { ...entry, mtimeSeconds: epochSeconds, mtimeNanoseconds: 0 } : entry;
  }
}
