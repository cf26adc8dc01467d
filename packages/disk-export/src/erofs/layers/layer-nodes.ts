import type { Entry, InodeOrigin, LayeredTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createAncestry } from "../../ancestry.js";
import { baseName } from "../../entry-path.js";

/** A name of a merged tree, as it is compared with what the layers below make. */
export interface LayerNode {
  readonly entry: Entry;
  /** Of a directory, in byte order. */
  readonly children: ReadonlyMap<string, LayerNode> | undefined;
  /** Of anything else. */
  readonly origin: InodeOrigin | undefined;
}

export interface LayerNodes {
  readonly root: LayerNode;
  /** Device nodes 0:0, which are not among the nodes: in a layer of an overlay they can only be whiteouts. */
  readonly nullDevices: readonly { readonly path: string; readonly layer: number }[];
}

/** All names of a tree. */
export async function readLayerNodes(tree: LayeredTree, { signal }: CallOptions): Promise<LayerNodes> {
  const ancestry = createAncestry<Map<string, LayerNode>>();
  const nullDevices: { path: string; layer: number }[] = [];
  let root: LayerNode | undefined;
  for await (const entry of tree.entries({ signal })) {
    const siblings = ancestry.parentOf(entry);
    const origin = tree.origin(entry);
    if (entry.kind === "char" && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      nullDevices.push({ path: entry.path, layer: origin?.layer ?? 0 });
      continue;
    }
    const children = entry.kind === "directory" ? new Map<string, LayerNode>() : undefined;
    const node: LayerNode = { entry, children, origin };
    if (children !== undefined) ancestry.enter(entry, children);
    if (siblings === undefined) root = node;
    else siblings.set(baseName(entry.path), node);
  }
  return { root: root!, nullDevices };
}
