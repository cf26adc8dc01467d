import { displayPath, type Entry, type FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { FuseError } from "../errors.js";
import { PROTOCOL } from "../protocol/layout.js";
import { createByteHeap } from "./byte-heap.js";
import { describeNode, type IndexArrays, unsupported } from "./describe-node.js";
import type { TreeIndex } from "./tree-index.js";

const NONE = 0xffffffff;
const ACLS = ["system.posix_acl_access", "system.posix_acl_default"];

/** A directory that was met, and below which entries may follow. */
interface OpenDirectory {
  readonly path: string;
  readonly node: number;
  /** The last name that it was seen to have. */
  lastName: string;
}

/**
 * Reads the entries of a tree once, into an index. What it takes is known from the tree's own counts, but for names and xattrs.
 *
 * @throws {FuseError} `tree_invalid` where the tree is not as `FileTree` promises; `unsupported` for a name over 1024 bytes, a device number that
 * does not fit, and 2 GiB of names and xattrs
 */
export async function buildIndex(tree: FileTree, { signal }: CallOptions = {}): Promise<TreeIndex> {
  signal?.throwIfAborted();
  const { entryCount, inodeCount } = tree;
  const heap = createByteHeap();
  const index = emptyIndex(entryCount, inodeCount);
  const nodeOfInode = new Uint32Array(inodeCount).fill(NONE);
  const parentOfName = new Uint32Array(entryCount);
  const open: OpenDirectory[] = [];
  let names = 0;
  let nodes = 0;
  let totalBytes = 0;
  let hasAcls = false;

  for await (const entry of tree.entries({ signal })) {
    const name = entry.path.slice(entry.path.lastIndexOf("/") + 1);
    const parent = enterParent(open, { entry, name, isFirst: names === 0 });
    const node = nodeOfInode[entry.inode] === NONE ? nodes : nodeOfInode[entry.inode];
    if (names === entryCount || node === undefined || node === inodeCount) throw miscounted(tree);
    parentOfName[names] = parent?.node ?? NONE;
    if (node === nodes) {
      nodeOfInode[entry.inode] = nodes++;
      describeNode(index, node, entry, heap);
      index.firstNames[node] = names;
      index.parents[node] = parent?.node ?? node;
      if (entry.kind === "file") totalBytes += entry.size;
      hasAcls ||= entry.xattrs.size > 0 && ACLS.some((acl) => entry.xattrs.has(acl));
    } else if (entry.kind === "directory") throw disordered(entry);
    index.nameNodes[names] = node;
    index.nameStarts[names] = heap.addText(name);
    index.nameLengths[names] = name.length;
    if (entry.kind === "directory") {
      if (parent !== undefined) index.links[parent.node]! += 1;
      open.push({ path: entry.path, node, lastName: "" });
    }
    names += 1;
  }
  if (names !== entryCount || nodes !== inodeCount || names === 0) throw miscounted(tree);
  layOutChildren(index, parentOfName);
  return { ...index, totalBytes, hasAcls, bytes: heap.share() };
}

function emptyIndex(nameCount: number, nodeCount: number): IndexArrays {
  const numbers = (count: number): Uint32Array => new Uint32Array(new SharedArrayBuffer(4 * count));
  const large = (count: number): Float64Array => new Float64Array(new SharedArrayBuffer(8 * count));
  return {
    nodeCount,
    nameCount,
    modes: numbers(nodeCount),
    links: numbers(nodeCount),
    uids: numbers(nodeCount),
    gids: numbers(nodeCount),
    devices: numbers(nodeCount),
    sizes: large(nodeCount),
    dataBytes: large(nodeCount),
    seconds: large(nodeCount),
    nanoseconds: numbers(nodeCount),
    firstNames: numbers(nodeCount),
    parents: numbers(nodeCount),
    targets: numbers(nodeCount),
    xattrs: numbers(nodeCount),
    firstChildren: numbers(nodeCount + 1),
    nameNodes: numbers(nameCount),
    nameStarts: numbers(nameCount),
    nameLengths: new Uint16Array(new SharedArrayBuffer(2 * nameCount)),
    children: numbers(Math.max(0, nameCount - 1)),
  };
}

/** Closes the directories that end before the entry, and gives the one that it is in; nothing for the root. */
function enterParent(
  open: OpenDirectory[],
  { entry, name, isFirst }: { entry: Entry; name: string; isFirst: boolean },
): OpenDirectory | undefined {
  const { path, kind } = entry;
  if (isFirst !== (path === "") || (isFirst && kind !== "directory")) throw disordered(entry);
  if (isFirst) return undefined;
  const parentLength = Math.max(0, path.length - name.length - 1);
  let parent = open.at(-1);
  while (parent !== undefined && !(parent.path.length === parentLength && path.startsWith(parent.path))) {
    open.pop();
    parent = open.at(-1);
  }
  if (name.length > PROTOCOL.maxName)
    throw unsupported(entry, `its name has ${name.length} bytes, over the limit of ${PROTOCOL.maxName}`);
  if (parent === undefined || name <= parent.lastName) throw disordered(entry);
  parent.lastName = name;
  return parent;
}

/** Puts each directory's names together. They come in byte order, and so they stay. */
function layOutChildren(
  { nodeCount, nameCount, firstChildren, children }: IndexArrays,
  parentOfName: Uint32Array,
): void {
  for (let name = 1; name < nameCount; name++) firstChildren[parentOfName[name]! + 1]! += 1;
  for (let node = 0; node < nodeCount; node++) firstChildren[node + 1]! += firstChildren[node]!;
  const next = firstChildren.slice();
  for (let name = 1; name < nameCount; name++) children[next[parentOfName[name]!]!++] = name;
}

function disordered({ path }: Entry): FuseError {
  return new FuseError("tree_invalid", `cannot mount the tree: "${displayPath(path)}" is not in the order of entries`);
}

function miscounted({ entryCount, inodeCount }: FileTree): FuseError {
  const counts = `${entryCount} entries and ${inodeCount} inodes`;
  return new FuseError("tree_invalid", `cannot mount the tree: it says that it has ${counts}, and has not`);
}
