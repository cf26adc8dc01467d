import { bytesToByteString } from "@lamella/layer-format";

import type { TreeIndex } from "./tree-index.js";

/** The first path of a node, as a byte string. */
export function nodePath(index: TreeIndex, node: number): string {
  const names: string[] = [];
  for (let at = node; at !== 0; at = index.parents[at]!) {
    const name = index.firstNames[at]!;
    const start = index.nameStarts[name]!;
    names.push(bytesToByteString(index.bytes.subarray(start, start + index.nameLengths[name]!)));
  }
  return names.toReversed().join("/");
}
