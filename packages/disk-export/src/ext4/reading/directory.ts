import { bytesToByteString } from "@lamella/layer-format";

import { crc32c } from "../../crc32c.js";
import { diskInvalid, viewOf } from "../../reading/metadata.js";
import type { DiskName } from "../../reading/tree.js";
import { INODE_FLAG, requireNamed } from "./inode.js";
import type { Ext4Inode } from "./inode.js";
import type { Ext4Volume } from "./superblock.js";

const ENTRY_HEADER_BYTES = 8;
const ENTRY_BYTES_MIN = 12;
const TAIL_BYTES = 12;
const TAIL_FILE_TYPE = 0xde;
/** Where a block of an index counts its entries: behind `.`, `..` and eight bytes in the root, behind an empty entry elsewhere. */
const INDEX_ROOT_COUNT = 32;
const INDEX_NODE_COUNT = 8;
const INDEX_ENTRY_BYTES = 8;

/**
 * The names in a block of a directory. Blocks of a directory's index look like empty ones to those who do not search it.
 * @throws {DiskExportError} `disk_invalid`
 */
export function readDirectoryBlock(volume: Ext4Volume, directory: Ext4Inode, block: Uint8Array): DiskName[] {
  if (directory.seed !== undefined) requireBlockChecksum(volume, directory, block);
  return readEntries(volume, directory, block);
}

/** The names in a part of a directory that is not a block: there is no checksum. */
export function readEntries(volume: Ext4Volume, directory: Ext4Inode, bytes: Uint8Array): DiskName[] {
  const view = viewOf(bytes);
  const names: DiskName[] = [];
  for (let at = 0; at < bytes.length;) {
    const length =
      at + ENTRY_HEADER_BYTES <= bytes.length ? entryLength(view.getUint16(at + 4, true), bytes.length) : 0;
    const nameLength = length === 0 ? 0 : volume.hasFileTypes ? view.getUint8(at + 6) : view.getUint16(at + 6, true);
    if (
      length < ENTRY_BYTES_MIN ||
      length % 4 !== 0 ||
      at + length > bytes.length ||
      ENTRY_HEADER_BYTES + nameLength > length
    )
      throw diskInvalid(volume.metadata.format, `inode ${directory.number}`, "an entry of this directory is damaged");
    const inode = view.getUint32(at, true);
    const start = at + ENTRY_HEADER_BYTES;
    at += length;
    if (inode === 0) continue;
    const name = bytesToByteString(bytes.subarray(start, start + nameLength));
    if (name === "." || name === "..") continue;
    requireNamed(volume, inode);
    names.push({ name, inode });
  }
  return names;
}

/** Sixteen bits cannot say 65,536. */
function entryLength(stored: number, blockBytes: number): number {
  return blockBytes === 2 ** 16 && (stored === 0 || stored === 0xffff) ? blockBytes : stored;
}

function requireBlockChecksum(
  { metadata }: Ext4Volume,
  { number, flags, seed = 0 }: Ext4Inode,
  block: Uint8Array,
): void {
  const view = viewOf(block);
  const count = (flags & INODE_FLAG.indexed) === 0 ? 0 : indexCountOffset(view, block.length);
  const isRight = count > 0 ? isIndexRight(view, block, { count, seed }) : isLeafRight(view, block, seed);
  if (!isRight)
    throw diskInvalid(metadata.format, `inode ${number}`, "the checksum of a block of this directory is wrong");
}

/** 0 where the block is not one of an index. */
function indexCountOffset(view: DataView, blockBytes: number): number {
  const first = entryLength(view.getUint16(4, true), blockBytes);
  if (first === blockBytes) return INDEX_NODE_COUNT;
  const isRoot = first === 12 && view.getUint16(16, true) === blockBytes - 12 && view.getUint8(18) === 2;
  return isRoot && view.getUint32(24, true) === 0 && view.getUint8(29) === 8 ? INDEX_ROOT_COUNT : 0;
}

function isIndexRight(view: DataView, block: Uint8Array, { count, seed }: { count: number; seed: number }): boolean {
  const tail = count + INDEX_ENTRY_BYTES * view.getUint16(count, true);
  const used = count + INDEX_ENTRY_BYTES * view.getUint16(count + 2, true);
  if (used > tail || tail + 8 > block.length) return false;
  const checksum = crc32c(crc32c(crc32c(seed, block, 0, used), block, tail, tail + 4), new Uint8Array(4));
  return checksum === view.getUint32(tail + 4, true);
}

function isLeafRight(view: DataView, block: Uint8Array, seed: number): boolean {
  const tail = block.length - TAIL_BYTES;
  const hasTail =
    view.getUint32(tail, true) === 0 &&
    view.getUint16(tail + 4, true) === TAIL_BYTES &&
    view.getUint16(tail + 6, true) === TAIL_FILE_TYPE << 8;
  return hasTail && crc32c(seed, block, 0, tail) === view.getUint32(tail + 8, true);
}
