import { hasSameAttributes } from "../tree-comparison.js";
import type { TreeNode } from "./tree-nodes.js";

/** A name that an overlay's layer has: one of the tree, or a whiteout. */
export type OverlayItem =
  | { readonly path: string; readonly node: TreeNode; readonly isOpaque: boolean }
  | { readonly path: string; readonly node: undefined };

interface Marks {
  /** The layer has it. */
  readonly carried: boolean;
  /** Something at or below it is shown from the layers below. */
  readonly keeps: boolean;
  readonly isOpaque: boolean;
}

/**
 * What has to lie on `lower` for an overlay to show `upper`, in a tree's order.
 *
 * A directory of it has the attributes that it has in `upper`: overlayfs shows those of the topmost. An inode of which a name or an attribute is new comes
 * with all its names, so that they are links to one inode still. What is gone from a directory is whited out, or the directory is opaque if nothing of it
 * is left; but not the root, for which overlayfs does not ask.
 */
export function* overlayDifference(lower: TreeNode, upper: TreeNode): Generator<OverlayItem> {
  const carriedInodes = new Set<number>();
  collectInodes(lower, upper, carriedInodes);
  const marks = new Map<TreeNode, Marks>();
  markDirectory(lower, upper, { carriedInodes, marks });
  yield { path: "", node: upper, isOpaque: false };
  yield* itemsBelow(lower, upper, marks);
}

function collectInodes(lower: TreeNode | undefined, upper: TreeNode, carried: Set<number>): void {
  for (const [name, node] of upper.children!) {
    const below = lower?.children?.get(name);
    if (node.children !== undefined) collectInodes(below, node, carried);
    else if (below === undefined || !isSameLeaf(below, node)) carried.add(node.entry.inode);
  }
}

interface Marking {
  readonly carriedInodes: ReadonlySet<number>;
  readonly marks: Map<TreeNode, Marks>;
}

function markDirectory(lower: TreeNode | undefined, upper: TreeNode, marking: Marking): Marks {
  const there = lower?.children === undefined ? undefined : lower;
  let carried = there === undefined || !hasSameAttributes(there.entry, upper.entry);
  let keeps = false;
  for (const [name, node] of upper.children!) {
    const below = there?.children!.get(name);
    const child = node.children === undefined ? markLeaf(node, marking) : markDirectory(below, node, marking);
    carried ||= child.carried;
    keeps ||= child.keeps;
  }
  const loses = there !== undefined && [...there.children!.keys()].some((name) => !upper.children!.has(name));
  carried ||= loses;
  const marks = {
    carried,
    keeps: there !== undefined && (keeps || !carried),
    isOpaque: loses && !keeps && upper.entry.path !== "",
  };
  marking.marks.set(upper, marks);
  return marks;
}

function markLeaf(node: TreeNode, { carriedInodes, marks }: Marking): Marks {
  const carried = carriedInodes.has(node.entry.inode);
  const result = { carried, keeps: !carried, isOpaque: false };
  marks.set(node, result);
  return result;
}

/** @param lower undefined where an overlay does not look any deeper */
function* itemsBelow(
  lower: TreeNode | undefined,
  upper: TreeNode,
  marks: ReadonlyMap<TreeNode, Marks>,
): Generator<OverlayItem> {
  for (const name of namesOf(lower, upper)) {
    const node = upper.children!.get(name);
    const path = upper.entry.path === "" ? name : `${upper.entry.path}/${name}`;
    if (node === undefined) {
      yield { path, node };
      continue;
    }
    const { carried, isOpaque } = marks.get(node)!;
    if (!carried) continue;
    const marksOpaque = isOpaque && lower !== undefined;
    yield { path, node, isOpaque: marksOpaque };
    if (node.children === undefined) continue;
    const below = marksOpaque ? undefined : lower?.children?.get(name);
    yield* itemsBelow(below, node, marks);
  }
}

function namesOf(lower: TreeNode | undefined, upper: TreeNode): Iterable<string> {
  const gone = [...(lower?.children?.keys() ?? [])].filter((name) => !upper.children!.has(name));
  return gone.length === 0 ? upper.children!.keys() : [...upper.children!.keys(), ...gone].sort();
}

/** The same inode of the same layer, which no hard link has changed since. */
export function isSameLeaf({ entry: one, origin }: TreeNode, { entry: other, origin: otherOrigin }: TreeNode): boolean {
  return (
    origin !== undefined &&
    origin.layer === otherOrigin?.layer &&
    origin.entry === otherOrigin.entry &&
    hasSameAttributes(one, other)
  );
}
