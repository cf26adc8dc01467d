import { alignUp, writeByteString } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import { inodeChecksumSeed } from "./checksum.js";
import type { Inode } from "./inode.js";
import { BLOCK_BYTES, FILE_TYPES } from "./layout.js";
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
  /** For each block the number of its first entry, counting `.` and `..`. Set by {@link packDirectory}. */
  blockStarts: readonly number[];
}

export function createDirectory(parent: Inode | undefined): Directory {
  return { parent, children: [], blockStarts: [] };
}

/** Deals the entries out to blocks, at least so many, and gives how many there are. */
export function packDirectory(directory: Directory, blockCountMin: number): number {
  const starts = [0];
  let used = entryBytes(".") + entryBytes("..");
  for (let index = 0; index < directory.children.length; index++) {
    const needed = entryBytes(directory.children[index]!.name);
    if (used + needed > TAIL_OFFSET) {
      starts.push(index + OWN_ENTRIES);
      used = 0;
    }
    used += needed;
  }
  while (starts.length < blockCountMin) starts.push(directory.children.length + OWN_ENTRIES);
  directory.blockStarts = starts;
  return starts.length;
}

/** Writes one block of a packed directory into a zeroed one at `at`. */
export function writeDirectoryBlock(
  scratch: Scratch,
  at: number,
  block: { readonly inode: Inode; readonly directory: Directory; readonly index: number; readonly seed: number },
): void {
  const { bytes, view } = scratch;
  const { children, blockStarts } = block.directory;
  const from = blockStarts[block.index]!;
  const to = blockStarts[block.index + 1] ?? children.length + OWN_ENTRIES;
  const tail = at + TAIL_OFFSET;

  let position = at;
  for (let index = from; index < to; index++) {
    const { name, inode } = entryAt(block.inode, block.directory, index);
    const length = index === to - 1 ? tail - position : entryBytes(name);
    view.setUint32(position, inode.number, true);
    view.setUint16(position + 4, length, true);
    view.setUint8(position + 6, name.length);
    view.setUint8(position + 7, FILE_TYPES[inode.entry.kind]);
    writeByteString(name, bytes, position + ENTRY_HEADER_BYTES);
    position += length;
  }
  if (from === to) view.setUint16(at + 4, TAIL_OFFSET, true);

  view.setUint16(tail + 4, TAIL_BYTES, true);
  view.setUint8(tail + 7, TAIL_FILE_TYPE);
  const checksum = crc32c(inodeChecksumSeed(block.seed, block.inode.number), bytes, at, tail);
  view.setUint32(tail + 8, checksum, true);
}

function entryAt(inode: Inode, directory: Directory, index: number): Child {
  if (index === 0) return { name: ".", inode };
  if (index === 1) return { name: "..", inode: directory.parent ?? inode };
  return directory.children[index - OWN_ENTRIES]!;
}

function entryBytes(name: string): number {
  return alignUp(ENTRY_HEADER_BYTES + name.length, 4);
}
