import { alignUp, writeByteString } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import { inodeChecksumSeed } from "./checksum.js";
import { countIndexBlocks, leafHashes, orderByHash, writeIndexBlock } from "./directory-index.js";
import type { DirectoryIndex } from "./directory-index.js";
import type { Inode } from "./inode.js";
import { BLOCK_BYTES, FILE_TYPES } from "./layout.js";
import type { NameHash } from "./name-hash.js";
import type { Scratch } from "./scratch.js";

/*
 * A block of a directory. Entries are 4-aligned and follow each other; the last reaches up to the tail, which is an entry without a
 * name to those who do not know of checksums.
 *
 *  +-------+---------+-------------+------+------+-----+------------------------------+
 *  | inode | rec_len | name length | type | name | ... | tail: 0, 12, 0, 0xde, csum   |
 *  +-------+---------+-------------+------+------+-----+------------------------------+
 *  0       4         6             7      8            4084                        4096
 */
const ENTRY_HEADER_BYTES = 8;
const TAIL_BYTES = 12;
const TAIL_OFFSET: number = BLOCK_BYTES - TAIL_BYTES;
const TAIL_FILE_TYPE = 0xde;
/** `.` and `..` come before the children. */
const OWN_ENTRIES = 2;
/** A directory of more gets an index, which costs a block and makes finding a name in it independent of their number. */
const LINEAR_BLOCKS_MAX = 2;

interface Child {
  readonly name: string;
  readonly inode: Inode;
}

/** What a directory's contents are made of. */
export interface Directory {
  /** The root's is itself. */
  parent: Inode | undefined;
  /** In byte order. */
  readonly children: Child[];
  /**
   * For each block of entries the place of its first: in the order of the index where there is one, else in that of the children,
   * counting `.` and `..`. Set by {@link packDirectory}.
   */
  blockStarts: readonly number[];
  /** Set by {@link packDirectory}. */
  index: DirectoryIndex | undefined;
}

export function createDirectory(parent: Inode | undefined): Directory {
  return { parent, children: [], blockStarts: [], index: undefined };
}

/** Deals the entries out to blocks, at least so many, and gives how many there are with those of the index. */
export function packDirectory(
  directory: Directory,
  options: { readonly blockCountMin: number; readonly nameHash: NameHash },
): number {
  const { children } = directory;
  const starts = [0];
  let used = entryBytes(".") + entryBytes("..");
  for (let index = 0; index < children.length; index++) {
    const needed = entryBytes(children[index]!.name);
    if (used + needed > TAIL_OFFSET) {
      starts.push(index + OWN_ENTRIES);
      used = 0;
    }
    used += needed;
  }
  if (starts.length > Math.max(LINEAR_BLOCKS_MAX, options.blockCountMin))
    return packByHash(directory, options.nameHash);
  while (starts.length < options.blockCountMin) starts.push(children.length + OWN_ENTRIES);
  directory.blockStarts = starts;
  return starts.length;
}

/** Writes one block of a packed directory into a zeroed one at `at`. */
export function writeDirectoryBlock(
  scratch: Scratch,
  at: number,
  block: { readonly inode: Inode; readonly directory: Directory; readonly index: number; readonly seed: number },
): void {
  const { inode, directory } = block;
  const seed = inodeChecksumSeed(block.seed, inode.number);
  if (directory.index === undefined) {
    writeEntries(scratch, at, { entries: linearEntries(inode, directory, block.index), seed });
    return;
  }
  const indexBlocks = countIndexBlocks(directory.index);
  if (block.index >= indexBlocks) {
    writeEntries(scratch, at, { entries: leafEntries(directory, block.index - indexBlocks), seed });
    return;
  }
  const inodes = { own: inode.number, parent: (directory.parent ?? inode).number };
  writeIndexBlock(scratch, at, { index: directory.index, block: block.index, inodes, seed });
}

/** The order by hash is not that of the tree, and it decides how well the entries fill the blocks. */
function packByHash(directory: Directory, nameHash: NameHash): number {
  const { children } = directory;
  const hashes = Uint32Array.from(children, ({ name }) => nameHash(name));
  const order = orderByHash(hashes);
  const starts: number[] = [];
  let used = TAIL_OFFSET;
  for (let place = 0; place < order.length; place++) {
    const needed = entryBytes(children[order[place]!]!.name);
    if (used + needed > TAIL_OFFSET) {
      starts.push(place);
      used = 0;
    }
    used += needed;
  }
  directory.blockStarts = starts;
  directory.index = { order, leafHashes: leafHashes({ hashes, order, starts }) };
  return countIndexBlocks(directory.index) + starts.length;
}

function linearEntries(inode: Inode, { parent, children, blockStarts }: Directory, block: number): Child[] {
  const from = blockStarts[block]!;
  const to = blockStarts[block + 1] ?? children.length + OWN_ENTRIES;
  if (block > 0) return children.slice(from - OWN_ENTRIES, to - OWN_ENTRIES);
  const own = [
    { name: ".", inode },
    { name: "..", inode: parent ?? inode },
  ];
  return [...own, ...children.slice(0, to - OWN_ENTRIES)];
}

function leafEntries({ children, blockStarts, index }: Directory, leaf: number): Child[] {
  const places = index!.order.subarray(blockStarts[leaf], blockStarts[leaf + 1]);
  return Array.from(places, (place) => children[place]!);
}

function writeEntries(
  { bytes, view }: Scratch,
  at: number,
  { entries, seed }: { readonly entries: readonly Child[]; readonly seed: number },
): void {
  const tail = at + TAIL_OFFSET;
  let position = at;
  for (let index = 0; index < entries.length; index++) {
    const { name, inode } = entries[index]!;
    const length = index === entries.length - 1 ? tail - position : entryBytes(name);
    view.setUint32(position, inode.number, true);
    view.setUint16(position + 4, length, true);
    view.setUint8(position + 6, name.length);
    view.setUint8(position + 7, FILE_TYPES[inode.entry.kind]);
    writeByteString(name, bytes, position + ENTRY_HEADER_BYTES);
    position += length;
  }
  if (entries.length === 0) view.setUint16(at + 4, TAIL_OFFSET, true);

  view.setUint16(tail + 4, TAIL_BYTES, true);
  view.setUint8(tail + 7, TAIL_FILE_TYPE);
  view.setUint32(tail + 8, crc32c(seed, bytes, at, tail), true);
}

function entryBytes(name: string): number {
  return alignUp(ENTRY_HEADER_BYTES + name.length, 4);
}
