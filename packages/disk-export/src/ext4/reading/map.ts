import { crc32c } from "../../crc32c.js";
import { diskInvalid, viewOf } from "../../reading/metadata.js";
import { addRun } from "../../reading/runs.js";
import type { Runs } from "../../reading/runs.js";
import { EXTENT_BLOCKS_MAX } from "../extents.js";
import { INODE, INODE_MAP_BYTES } from "../layout.js";
import { INODE_FLAG } from "./inode.js";
import type { Ext4Inode } from "./inode.js";
import type { Ext4Volume } from "./superblock.js";

const NODE_MAGIC = 0xf30a;
const HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
const DEPTH_MAX = 5;
const LOGICAL_BLOCKS_MAX = 2 ** 32;
const DIRECT_BLOCKS = 12;
const POINTER_BYTES = 4;

/**
 * Where the bytes of an inode's blocks lie; what was allocated and not written is a hole. Blocks behind the inode's size are left out.
 * @throws {DiskExportError} `disk_invalid`: a block that is not on the disk, extents out of order, a wrong checksum
 */
export async function readBlockMap(volume: Ext4Volume, inode: Ext4Inode): Promise<Runs> {
  const { blockBytes, metadata } = volume;
  const what = `inode ${inode.number}`;
  const blockLimit = Math.ceil(inode.size / blockBytes);
  if (blockLimit > LOGICAL_BLOCKS_MAX) throw diskInvalid(metadata.format, what, `its size is ${inode.size} bytes`);
  const runs: number[] = [];
  let nextLogical = 0;

  function add(logical: number, physical: number, length: number): void {
    if (physical < Math.max(volume.firstDataBlock, 1) || physical + length > volume.blockCount)
      throw diskInvalid(metadata.format, what, `its blocks from ${physical} are not on the disk`);
    const count = Math.min(length, blockLimit - logical);
    if (count > 0) addRun(runs, logical * blockBytes, physical * blockBytes, count * blockBytes);
  }

  async function readBlock(block: number): Promise<Uint8Array> {
    if (block >= volume.blockCount)
      throw diskInvalid(metadata.format, what, `block ${block} of its map is not on the disk`);
    return metadata.read(what, block * blockBytes, blockBytes);
  }

  async function walkExtents(node: Uint8Array, depth: number | undefined): Promise<void> {
    const view = viewOf(node);
    const count = view.getUint16(2, true);
    const capacity = Math.floor((node.length - HEADER_BYTES) / ENTRY_BYTES);
    const ownDepth = view.getUint16(6, true);
    const isRoot = depth === undefined;
    if (
      view.getUint16(0, true) !== NODE_MAGIC ||
      view.getUint16(4, true) > capacity ||
      count > view.getUint16(4, true) ||
      (isRoot ? ownDepth > DEPTH_MAX : ownDepth !== depth || count === 0)
    )
      throw diskInvalid(metadata.format, what, "a node of its map of extents is damaged");
    if (!isRoot) requireNodeChecksum(volume, inode, node);

    for (let at = HEADER_BYTES; at < HEADER_BYTES + count * ENTRY_BYTES; at += ENTRY_BYTES) {
      const logical = view.getUint32(at, true);
      if (logical < nextLogical) throw diskInvalid(metadata.format, what, "its extents are not in order");
      if (ownDepth > 0) {
        await walkExtents(
          await readBlock(view.getUint32(at + 4, true) + view.getUint16(at + 8, true) * 2 ** 32),
          ownDepth - 1,
        );
        continue;
      }
      const stored = view.getUint16(at + 4, true);
      const isWritten = stored <= EXTENT_BLOCKS_MAX;
      const length = isWritten ? stored : stored - EXTENT_BLOCKS_MAX;
      if (length === 0) throw diskInvalid(metadata.format, what, "one of its extents is empty");
      nextLogical = logical + length;
      const physical = view.getUint32(at + 8, true) + view.getUint16(at + 6, true) * 2 ** 32;
      if (isWritten) add(logical, physical, length);
    }
  }

  /** A block's number, or that of a block of numbers, `level` deep. */
  async function walkPointers(pointer: number, level: number, logical: number): Promise<void> {
    if (pointer === 0 || logical >= blockLimit) return;
    if (level === 0) {
      metadata.charge(what, POINTER_BYTES);
      add(logical, pointer, 1);
      return;
    }
    const view = viewOf(await readBlock(pointer));
    const span = (blockBytes / POINTER_BYTES) ** (level - 1);
    for (let at = 0; at < blockBytes; at += POINTER_BYTES)
      await walkPointers(view.getUint32(at, true), level - 1, logical + (at / POINTER_BYTES) * span);
  }

  if ((inode.flags & INODE_FLAG.extents) !== 0) {
    await walkExtents(inode.map, undefined);
    return runs;
  }
  const view = viewOf(inode.map);
  let logical = 0;
  for (let index = 0; index < INODE_MAP_BYTES / POINTER_BYTES; index++) {
    const level = Math.max(0, index - DIRECT_BLOCKS + 1);
    await walkPointers(view.getUint32(index * POINTER_BYTES, true), level, logical);
    logical += (blockBytes / POINTER_BYTES) ** level;
  }
  return runs;
}

/** Where the part of inline data is that an inode holds; the rest is in an xattr. */
export function inlineRun(inode: Ext4Inode): { offset: number; length: number } {
  return { offset: inode.position + INODE.blocks, length: Math.min(inode.size, INODE_MAP_BYTES) };
}

function requireNodeChecksum({ metadata }: Ext4Volume, { number, seed }: Ext4Inode, node: Uint8Array): void {
  if (seed === undefined) return;
  const end = HEADER_BYTES + ENTRY_BYTES * viewOf(node).getUint16(4, true);
  if (end + 4 > node.length || crc32c(seed, node, 0, end) !== viewOf(node).getUint32(end, true))
    throw diskInvalid(metadata.format, `inode ${number}`, "the checksum of its map of extents is wrong");
}
