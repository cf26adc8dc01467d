import { writeByteString } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import { BLOCK_BYTES, FILE_TYPES, HASH_HALF_MD4 } from "./layout.js";
import type { Scratch } from "./scratch.js";

/*
 * The index of a large directory (htree): its first block, and where that does not suffice a level of further ones. Facts from Linux,
 * Documentation/filesystems/ext4/directory.rst. To those who do not know of it each is a block with one empty entry at its end.
 *
 *  first block
 *  +---------+----------+--------------------------------------+----------------------------------------+------------+
 *  | . entry | .. entry | 0, hash version, 8, levels, 0        | limit, count, block | hash, block | ...  | 0 | csum   |
 *  +---------+----------+--------------------------------------+----------------------------------------+------------+
 *  0         12         24   28            29 30      31       32                    40                   4088
 *
 *  further ones
 *  +--------------------------------+----------------------------------------+------------+
 *  | entry without a name: 0, 4096  | limit, count, block | hash, block | ...  | 0 | csum   |
 *  +--------------------------------+----------------------------------------+------------+
 *  0                                8                     16                   4088
 *
 * An index entry leads to what has names of its hash or more; the first needs no hash. A hash is even: an odd one says that names of the
 * even one are also at the end of the block before.
 *
 * Blocks are, in this order: the first, the further ones, those with the names.
 */
const ROOT_INFO_OFFSET = 24;
const ROOT_INFO_BYTES = 8;
const ROOT_ENTRIES_OFFSET: number = ROOT_INFO_OFFSET + ROOT_INFO_BYTES;
const NODE_ENTRIES_OFFSET = 8;
const DOT_ENTRY_BYTES = 12;
const ENTRY_BYTES = 8;
const TAIL_BYTES = 8;
const TAIL_OFFSET: number = BLOCK_BYTES - TAIL_BYTES;
const ROOT_ENTRIES: number = (TAIL_OFFSET - ROOT_ENTRIES_OFFSET) / ENTRY_BYTES;
const NODE_ENTRIES: number = (TAIL_OFFSET - NODE_ENTRIES_OFFSET) / ENTRY_BYTES;

/** More blocks of names cannot be told apart without `large_dir`. */
export const LEAVES_MAX: number = ROOT_ENTRIES * NODE_ENTRIES;

export interface DirectoryIndex {
  /** The children's places, by the hash of their names. */
  readonly order: Uint32Array;
  /** For each block of names the hash that leads to it. */
  readonly leafHashes: Uint32Array;
}

/** Places by hash, ascending; of equal hashes in the order that they have. */
export function orderByHash(hashes: Uint32Array): Uint32Array {
  const order = Uint32Array.from(hashes, (_, place) => place);
  return order.sort((left, right) => hashes[left]! - hashes[right]! || left - right);
}

/** The hashes that lead to the blocks of names which begin at `starts` of `order`. */
export function leafHashes(names: {
  readonly hashes: Uint32Array;
  readonly order: Uint32Array;
  readonly starts: readonly number[];
}): Uint32Array {
  const { hashes, order, starts } = names;
  return Uint32Array.from(starts, (start) => {
    const hash = hashes[order[start]!]!;
    return start > 0 && hashes[order[start - 1]!] === hash ? hash + 1 : hash;
  });
}

/** How many blocks the index takes. */
export function countIndexBlocks({ leafHashes: { length } }: DirectoryIndex): number {
  return 1 + (length > ROOT_ENTRIES ? Math.ceil(length / NODE_ENTRIES) : 0);
}

/** Writes a block of the index into a zeroed one at `at`. */
export function writeIndexBlock(
  scratch: Scratch,
  at: number,
  facts: {
    readonly index: DirectoryIndex;
    /** Of the directory. */
    readonly block: number;
    readonly inodes: { readonly own: number; readonly parent: number };
    /** Of the directory's sums. */
    readonly seed: number;
  },
): void {
  const { index, block, inodes, seed } = facts;
  const { leafHashes: hashes } = index;
  const indexBlocks = countIndexBlocks(index);
  const nodeCount = indexBlocks - 1;
  if (block > 0) {
    const first = (block - 1) * NODE_ENTRIES;
    const targets = { hashes: hashes.subarray(first, first + NODE_ENTRIES), firstBlock: indexBlocks + first };
    scratch.view.setUint16(at + 4, BLOCK_BYTES, true);
    writeTargets(scratch, at, { ...targets, offset: NODE_ENTRIES_OFFSET, limit: NODE_ENTRIES, seed });
    return;
  }
  writeRootHead(scratch, at, { inodes, levels: nodeCount > 0 ? 1 : 0 });
  const nodeHashes = Uint32Array.from({ length: nodeCount }, (_, node) => hashes[node * NODE_ENTRIES]!);
  const targets = nodeCount > 0 ? { hashes: nodeHashes, firstBlock: 1 } : { hashes, firstBlock: 1 };
  writeTargets(scratch, at, { ...targets, offset: ROOT_ENTRIES_OFFSET, limit: ROOT_ENTRIES, seed });
}

function writeRootHead(
  { bytes, view }: Scratch,
  at: number,
  { inodes, levels }: { readonly inodes: { own: number; parent: number }; readonly levels: number },
): void {
  writeOwnEntry(at, { name: ".", inode: inodes.own, length: DOT_ENTRY_BYTES });
  const parentAt = at + DOT_ENTRY_BYTES;
  writeOwnEntry(parentAt, { name: "..", inode: inodes.parent, length: BLOCK_BYTES - DOT_ENTRY_BYTES });
  view.setUint8(at + ROOT_INFO_OFFSET + 4, HASH_HALF_MD4);
  view.setUint8(at + ROOT_INFO_OFFSET + 5, ROOT_INFO_BYTES);
  view.setUint8(at + ROOT_INFO_OFFSET + 6, levels);

  function writeOwnEntry(entryAt: number, entry: { name: string; inode: number; length: number }): void {
    view.setUint32(entryAt, entry.inode, true);
    view.setUint16(entryAt + 4, entry.length, true);
    view.setUint8(entryAt + 6, entry.name.length);
    view.setUint8(entryAt + 7, FILE_TYPES.directory);
    writeByteString(entry.name, bytes, entryAt + 8);
  }
}

/** Writes the entries of a block of the index and its checksum: of all up to the last entry, and of the tail. */
function writeTargets(
  { bytes, view }: Scratch,
  at: number,
  targets: {
    readonly hashes: Uint32Array;
    /** What the first hash leads to; the others lead to those that follow. */
    readonly firstBlock: number;
    readonly offset: number;
    readonly limit: number;
    readonly seed: number;
  },
): void {
  const { hashes, firstBlock, offset, limit, seed } = targets;
  const entries = at + offset;
  for (let index = 0; index < hashes.length; index++) {
    view.setUint32(entries + index * ENTRY_BYTES, hashes[index]!, true);
    view.setUint32(entries + index * ENTRY_BYTES + 4, firstBlock + index, true);
  }
  view.setUint16(entries, limit, true);
  view.setUint16(entries + 2, hashes.length, true);
  const tail = at + TAIL_OFFSET;
  const summed = crc32c(seed, bytes, at, entries + hashes.length * ENTRY_BYTES);
  view.setUint32(tail + 4, crc32c(summed, bytes, tail, tail + TAIL_BYTES), true);
}
