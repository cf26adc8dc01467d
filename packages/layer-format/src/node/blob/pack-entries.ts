import type { CallOptions } from "@lamella/refs";

import type { FileTree } from "../../file-tree.js";
import { clampTime, tarInputOf, tarLinkTo } from "../../tar/tree-entry.js";
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
    else if (first !== undefined) yield tarLinkTo(entry, first);
    else {
      if (entry.links > 1) firstNames.set(entry.inode, entry.path);
      yield tarInputOf(tree, entry);
    }
  }
}

/** Entries of which none is later than a time. */
export async function* clampTimes(entries: AsyncIterable<TarInput>, epochSeconds: number): AsyncGenerator<TarInput> {
  for await (const entry of entries) yield clampTime(entry, epochSeconds);
}
