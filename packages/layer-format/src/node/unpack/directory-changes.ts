import type { Entry } from "../../file-tree.js";
import { isSameLeaf } from "../../overlay/difference.js";
import type { TreeNode } from "../../overlay/tree-nodes.js";
import { hasSameAttributes } from "../../tree-comparison.js";

/** What makes a directory that shows one tree show another, in the order of the lists. */
export interface DirectoryChanges {
  /** Directories that stay, and in which names are removed, made or replaced, or whose own attributes change. */
  readonly touched: readonly string[];
  /** Paths that go with all that is below: nothing is there afterwards, or something else. */
  readonly removed: readonly string[];
  /** Directories that have to lose extended attributes, at least until they are filled. */
  readonly remade: readonly string[];
  /** What is written then, in the tree's order: all that is new or changed, and the directories touched. */
  readonly written: readonly Entry[];
  /** By inodes of the new tree: a name that is there already and stays. */
  readonly there: ReadonlyMap<number, string>;
}

/** What is made in a directory inherits it. */
const DEFAULT_ACL = "system.posix_acl_default";

interface Collected {
  readonly touched: string[];
  readonly removed: string[];
  readonly remade: string[];
  readonly written: (Entry | undefined)[];
  readonly there: Map<number, string>;
}

/** @param upper all inodes of `lower` that it has are those of the same layers' entries */
export function directoryChanges(lower: TreeNode, upper: TreeNode): DirectoryChanges {
  const changes: Collected = { touched: [], removed: [], remade: [], written: [], there: new Map() };
  collectKept(lower, upper, changes.there);
  collectDirectory(lower, upper, changes);
  return { ...changes, written: changes.written.filter((entry) => entry !== undefined) };
}

function collectKept(lower: TreeNode, upper: TreeNode, there: Map<number, string>): void {
  for (const [name, above] of upper.children ?? []) {
    const below = lower.children?.get(name);
    if (below === undefined) continue;
    if (above.children !== undefined && below.children !== undefined) collectKept(below, above, there);
    else if (isKept(below, above) && above.entry.links > 1) there.set(above.entry.inode, above.entry.path);
  }
}

function isKept(below: TreeNode, above: TreeNode): boolean {
  return below.children === undefined && above.children === undefined && isSameLeaf(below, above);
}

/** @returns whether the directory was remade, which is a change of its parent */
function collectDirectory(lower: TreeNode, upper: TreeNode, changes: Collected): boolean {
  const { entry } = upper;
  let isTouched = !hasSameAttributes(lower.entry, entry);
  const place = changes.written.push(entry) - 1;
  for (const [name, below] of lower.children ?? []) {
    if (upper.children?.has(name) !== true) {
      changes.removed.push(below.entry.path);
      isTouched = true;
    }
  }
  for (const [name, above] of upper.children ?? []) {
    const below = lower.children?.get(name);
    if (below?.children !== undefined && above.children !== undefined) {
      if (collectDirectory(below, above, changes)) isTouched = true;
    } else if (below === undefined || !isKept(below, above)) {
      if (below !== undefined) changes.removed.push(below.entry.path);
      collectAll(above, changes.written);
      isTouched = true;
    }
  }
  if (isTouched) changes.touched.push(entry.path);
  else changes.written[place] = undefined;
  const { xattrs } = lower.entry;
  const isRemade = isTouched && (xattrs.has(DEFAULT_ACL) || [...xattrs.keys()].some((name) => !entry.xattrs.has(name)));
  if (isRemade) changes.remade.push(entry.path);
  return isRemade;
}

function collectAll(node: TreeNode, written: (Entry | undefined)[]): void {
  written.push(node.entry);
  for (const child of node.children?.values() ?? []) collectAll(child, written);
}
