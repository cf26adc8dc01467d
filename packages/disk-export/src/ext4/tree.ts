import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createAncestry } from "../ancestry.js";
import type { DiskIdentity } from "../disk-identity.js";
import { baseName, shownPath } from "../entry-path.js";
import { DiskExportError } from "../errors.js";
import { createDirectory, packDirectory } from "./directory.js";
import type { Directory } from "./directory.js";
import { LEAVES_MAX } from "./directory-index.js";
import { dataRanges } from "./extents.js";
import { fitsInodeTime, isShortTarget } from "./inode.js";
import type { Inode } from "./inode.js";
import {
  BLOCK_BYTES,
  DEVICE_MAJOR_MAX,
  DEVICE_MINOR_MAX,
  FILE_BYTES_MAX,
  FIRST_INODE,
  LINK_TARGET_MAX,
  LINKS_MAX,
  NAME_MAX,
  ROOT_INODE,
} from "./layout.js";
import { createNameHash } from "./name-hash.js";
import { lostAndFoundEntry, namelessEntry } from "./own-entries.js";
import { countValueBlocks, createValueCollector } from "./value-inodes.js";
import type { OwnValue, ValueCollector } from "./value-inodes.js";
import { splitXattrs } from "./xattr.js";
import { isDevice } from "../file-mode.js";
import type { LossCollector } from "../losses.js";

const LOST_AND_FOUND = "lost+found";
/** As mke2fs makes it, so that e2fsck finds room there without having to allocate. */
const LOST_AND_FOUND_BLOCKS = 4;

/** Shared, as most inodes have none of something. */
const NONE: readonly never[] = [];

/** The inodes of a disk by number. Of the reserved ones only the root is among them. */
export type InodeTable = readonly (Inode | undefined)[];

export interface ReadInodesOptions extends CallOptions {
  losses: LossCollector;
  identity: DiskIdentity;
  /** The time of a lost+found that the tree does not have. */
  epochSeconds: number;
}

/**
 * The inodes of a tree, numbered in the order of their first names, then those of large xattrs' values; none has a place yet, and
 * directories are yet to be packed. A directory `/lost+found` has the number that it has everywhere, 11: the tree's own, else an empty
 * one is added.
 *
 * @throws {DiskExportError} `unsupported`, `tree_invalid`
 */
export async function readInodes(tree: FileTree, options: ReadInodesOptions): Promise<InodeTable> {
  const { losses, identity, signal } = options;
  const values = createValueCollector();
  const numbered: (Inode | undefined)[] = [];
  const byTreeNumber: Inode[] = [];
  const ancestry = createAncestry<OpenDirectory>();
  const own = await tree.lookup(LOST_AND_FOUND, { signal });
  let next = own === undefined || own.kind === "directory" ? FIRST_INODE + 1 : FIRST_INODE;

  for await (const entry of tree.entries({ signal })) {
    signal?.throwIfAborted();
    identity.add(entry);
    const parent = ancestry.parentOf(entry);
    let inode = byTreeNumber[entry.inode];
    if (inode === undefined) {
      const isLostAndFound = entry.path === LOST_AND_FOUND && entry.kind === "directory";
      const number = parent === undefined ? ROOT_INODE : isLostAndFound ? FIRST_INODE : next++;
      inode = createInode(number, entry, parent?.inode, { losses, values });
      byTreeNumber[entry.inode] = inode;
      numbered[number] = inode;
    }
    if (parent !== undefined) addName(parent, entry, inode);
    if (inode.directory !== undefined) ancestry.enter(entry, { inode, directory: inode.directory });
  }
  signal?.throwIfAborted();

  const root = numbered[ROOT_INODE];
  if (root?.directory === undefined) throw new DiskExportError("tree_invalid", "cannot read a tree: it has no root");
  if (own === undefined) {
    const inode = createInode(FIRST_INODE, lostAndFoundEntry(LOST_AND_FOUND, options.epochSeconds), root, {
      losses,
      values,
    });
    numbered[FIRST_INODE] = inode;
    insertLostAndFound({ inode: root, directory: root.directory }, inode);
  }
  for (const inode of numbered) if (inode !== undefined) requireLinks(inode);
  for (const value of values.list()) numbered.push(createValueInode(numbered.length, value));
  return numbered;
}

/**
 * Gives the directories of a tree their contents.
 * @param hashSeed sixteen bytes; large directories are in the order of a hash that begins with them
 * @throws {DiskExportError} `unsupported`
 */
export function packDirectories(inodes: InodeTable, hashSeed: Uint8Array): void {
  const nameHash = createNameHash(hashSeed);
  for (const inode of inodes) {
    if (inode?.directory === undefined) continue;
    const blockCountMin = inode.number === FIRST_INODE ? LOST_AND_FOUND_BLOCKS : 1;
    const blockCount = packDirectory(inode.directory, { blockCountMin, nameHash });
    const leafCount = inode.directory.blockStarts.length;
    if (leafCount > LEAVES_MAX) {
      throw unsupported(inode.entry, `its names take ${leafCount} blocks, the limit is ${LEAVES_MAX}`);
    }
    inode.sizeBytes = blockCount * BLOCK_BYTES;
    inode.ranges = [{ start: 0, length: blockCount }];
  }
}

interface OpenDirectory {
  readonly inode: Inode;
  readonly directory: Directory;
}

function createInode(
  number: number,
  entry: Entry,
  parent: Inode | undefined,
  { losses, values }: { readonly losses: LossCollector; readonly values: ValueCollector },
): Inode {
  requireSupported(entry);
  if (!fitsInodeTime(entry.mtimeSeconds)) losses.add("times before 1901-12-13 or after 2446-05-10", entry.path);
  const isDirectory = entry.kind === "directory";
  const hasTargetBlock = entry.kind === "symlink" && !isShortTarget(entry.linkTarget);
  return {
    number,
    entry,
    links: isDirectory ? 2 : 0,
    sizeBytes: entry.kind === "file" ? entry.size : entry.linkTarget.length,
    ranges: entry.kind === "file" ? dataRanges(entry) : hasTargetBlock ? [{ start: 0, length: 1 }] : NONE,
    directory: isDirectory ? createDirectory(parent) : undefined,
    xattrs: splitXattrs(entry, { losses, values }),
    value: undefined,
    extents: NONE,
    extentBlocks: NONE,
    xattrBlock: 0,
  };
}

function createValueInode(number: number, value: OwnValue): Inode {
  value.inodeNumber = number;
  const entry = namelessEntry(value.bytes.length, 0);
  return { ...createNamelessInode(number, entry, countValueBlocks(value.bytes)), value };
}

/** An inode that nothing but the file system itself leads to. */
export function createNamelessInode(number: number, entry: Entry, blockCount: number): Inode {
  return {
    number,
    entry,
    links: 1,
    sizeBytes: entry.size,
    ranges: [{ start: 0, length: blockCount }],
    directory: undefined,
    xattrs: undefined,
    value: undefined,
    extents: NONE,
    extentBlocks: NONE,
    xattrBlock: 0,
  };
}

function addName({ inode: parent, directory }: OpenDirectory, entry: Entry, inode: Inode): void {
  const name = baseName(entry.path);
  if (name.length > NAME_MAX) throw unsupported(entry, `its name has ${name.length} bytes, the limit is ${NAME_MAX}`);
  const previous = directory.children.at(-1);
  if (previous !== undefined && previous.name >= name) {
    const order = "it came after a sibling that it sorts before";
    throw new DiskExportError("tree_invalid", `cannot place ${shownPath(entry)}: ${order}`);
  }
  directory.children.push({ name, inode });
  if (inode.directory !== undefined) parent.links += 1;
  else inode.links += 1;
}

function insertLostAndFound({ inode: root, directory }: OpenDirectory, inode: Inode): void {
  const after = directory.children.findIndex(({ name }) => name > LOST_AND_FOUND);
  const index = after === -1 ? directory.children.length : after;
  directory.children.splice(index, 0, { name: LOST_AND_FOUND, inode });
  root.links += 1;
}

/** Known only after the last entry. */
function requireLinks({ entry, directory, links }: Inode): void {
  if (directory === undefined && links > LINKS_MAX) {
    throw unsupported(entry, `it has ${links} names, the limit is ${LINKS_MAX}`);
  }
}

function requireSupported(entry: Entry): void {
  const { kind, linkTarget, size, deviceMajor, deviceMinor } = entry;
  if (kind === "symlink" && (linkTarget.length === 0 || linkTarget.length > LINK_TARGET_MAX)) {
    throw unsupported(entry, `its target has ${linkTarget.length} bytes, the limits are 1 and ${LINK_TARGET_MAX}`);
  }
  if (kind === "symlink" && linkTarget.includes("\0")) throw unsupported(entry, "its target has a NUL");
  if (kind === "file" && size > FILE_BYTES_MAX) {
    throw unsupported(entry, `it has ${size} bytes, the limit is ${FILE_BYTES_MAX}`);
  }
  if (isDevice(entry) && (deviceMajor > DEVICE_MAJOR_MAX || deviceMinor > DEVICE_MINOR_MAX)) {
    const limit = `the limit is ${DEVICE_MAJOR_MAX}:${DEVICE_MINOR_MAX}`;
    throw unsupported(entry, `its device is ${deviceMajor}:${deviceMinor}, ${limit}`);
  }
}

function unsupported(entry: Entry, why: string): DiskExportError {
  return new DiskExportError("unsupported", `cannot hold ${shownPath(entry)} in ext4: ${why}`);
}
