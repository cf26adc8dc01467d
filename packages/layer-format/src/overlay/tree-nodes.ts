import type { CallOptions } from "@lamella/refs";

import type { Entry } from "../file-tree.js";
import { splitPath } from "../merge/path.js";
import type { InodeOrigin, LayeredTree } from "../merge/merged-tree.js";

/** A name of a merged tree, as it is compared with what the layers below make. */
export interface TreeNode {
  readonly entry: Entry;
  /** Of a directory, in byte order. */
  readonly children: ReadonlyMap<string, TreeNode> | undefined;
  /** Of anything else. */
  readonly origin: InodeOrigin | undefined;
}

/** All names of a tree that `includes` admits, which is never asked about a directory. */
export async function readTreeNodes(
  tree: LayeredTree,
  { includes = () => true, signal }: CallOptions & { includes?: (entry: Entry) => boolean },
): Promise<TreeNode> {
  /** The directories from the root to the last one that was met. */
  const open: { readonly path: string; readonly children: Map<string, TreeNode> }[] = [];
  let root: TreeNode | undefined;
  for await (const entry of tree.entries({ signal })) {
    const { parent, name } = splitPath(entry.path);
    while (open.length > 1 && open.at(-1)?.path !== parent) open.pop();
    const siblings = open.at(-1)?.children;
    const children = entry.kind === "directory" ? new Map<string, TreeNode>() : undefined;
    if (children === undefined && !includes(entry)) continue;
    const node = { entry, children, origin: tree.origin(entry) };
    root ??= node;
    siblings?.set(name, node);
    if (children !== undefined) open.push({ path: entry.path, children });
  }
  return root as TreeNode;
}
