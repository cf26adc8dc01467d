import type { Entry } from "@lamella/layer-format";

import { writeByteString } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import { inodeChecksumSeed } from "./checksum.js";
import type { Directory } from "./directory.js";
import { writeExtentRoot } from "./extents.js";
import type { BlockRange, MappedExtent } from "./extents.js";
import {
  EXTRA_INODE_BYTES,
  INODE,
  INODE_BYTES,
  INODE_FLAG,
  INODE_MAP_BYTES,
  LINKS_MAX,
  SECONDS_MAX,
  SECONDS_MIN,
  SECTORS_PER_BLOCK,
} from "./layout.js";
import type { Scratch } from "./scratch.js";
import { countValueBlocks, writeValueFields } from "./value-inodes.js";
import type { OwnValue } from "./value-inodes.js";
import { writeInodeXattrs } from "./xattr.js";
import type { XattrSplit } from "./xattr.js";
import { fileMode, isDevice } from "../file-mode.js";

/** An inode on its way to the disk: read from the tree, then placed. */
export interface Inode {
  readonly number: number;
  /** Of several names the first. */
  readonly entry: Entry;
  /** Names; for a directory 2 and one for each directory in it. */
  links: number;
  sizeBytes: number;
  /** Where contents lie within the inode, until they are placed; what is between is a hole. */
  ranges: readonly BlockRange[];
  readonly directory: Directory | undefined;
  readonly xattrs: XattrSplit | undefined;
  /** What an inode that is no file's holds. */
  readonly value: OwnValue | undefined;

  /** Where contents lie on the disk, and the blocks that say so if the inode has no room. Placed. */
  extents: readonly MappedExtent[];
  extentBlocks: readonly number[];
  /** 0 for none. Placed. */
  xattrBlock: number;
}

/** The fields that all inodes have, reserved ones too. */
export interface InodeHeader {
  /** With the kind. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly links: number;
  readonly blockCount: number;
  readonly flags: number;
  readonly xattrBlock: number;
}

/** Whether a time is one that an inode can hold. */
export function fitsInodeTime(seconds: number): boolean {
  return seconds >= SECONDS_MIN && seconds <= SECONDS_MAX;
}

/** Writes a placed inode into 256 zeroed bytes at `at`. All four times are the entry's mtime. */
export function writeInode(scratch: Scratch, at: number, inode: Inode, seed: number): void {
  const { entry } = inode;
  const mapped = entry.kind === "file" || entry.kind === "directory" || inode.extents.length > 0;
  writeInodeHeader(scratch, at, {
    mode: fileMode(entry),
    uid: entry.uid,
    gid: entry.gid,
    sizeBytes: inode.sizeBytes,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNanoseconds: entry.mtimeNanoseconds,
    links: entry.kind === "directory" && inode.links > LINKS_MAX ? 1 : inode.links,
    blockCount: countBlocks(inode),
    flags: inodeFlags(inode, mapped),
    xattrBlock: inode.xattrBlock,
  });

  if (mapped) writeExtentRoot(scratch.view, at + INODE.blocks, inode.extents, inode.extentBlocks);
  else if (entry.kind === "symlink") writeByteString(entry.linkTarget, scratch.bytes, at + INODE.blocks);
  else if (isDevice(entry)) writeDevice(scratch.view, at + INODE.blocks, entry);

  if (inode.value !== undefined) writeValueFields(scratch.view, at, inode.value, seed);
  if (inode.xattrs !== undefined) writeInodeXattrs(scratch, at, inode.xattrs.inode, seed);
  sealInode(scratch, at, inode.number, seed);
}

/** Whether a link's target is kept in the inode. */
export function isShortTarget(target: string): boolean {
  return target.length < INODE_MAP_BYTES;
}

export function writeInodeHeader({ view }: Scratch, at: number, header: InodeHeader): void {
  view.setUint16(at + INODE.mode, header.mode, true);
  view.setUint16(at + INODE.uid, header.uid & 0xffff, true);
  view.setUint16(at + INODE.uidHigh, header.uid >>> 16, true);
  view.setUint16(at + INODE.gid, header.gid & 0xffff, true);
  view.setUint16(at + INODE.gidHigh, header.gid >>> 16, true);
  view.setUint32(at + INODE.size, header.sizeBytes % 2 ** 32, true);
  view.setUint32(at + INODE.sizeHigh, Math.floor(header.sizeBytes / 2 ** 32), true);
  view.setUint16(at + INODE.links, header.links, true);
  const sectors = header.blockCount * SECTORS_PER_BLOCK;
  view.setUint32(at + INODE.sectors, sectors % 2 ** 32, true);
  view.setUint16(at + INODE.sectorsHigh, Math.floor(sectors / 2 ** 32), true);
  view.setUint32(at + INODE.flags, header.flags, true);
  view.setUint32(at + INODE.xattrBlock, header.xattrBlock, true);
  view.setUint16(at + INODE.extraBytes, EXTRA_INODE_BYTES, true);
  writeTimes(view, at, header);
}

/** Writes the checksum. Nothing of the inode may change after. */
export function sealInode({ bytes, view }: Scratch, at: number, inodeNumber: number, seed: number): void {
  const checksum = crc32c(inodeChecksumSeed(seed, inodeNumber), bytes, at, at + INODE_BYTES);
  view.setUint16(at + INODE.checksum, checksum & 0xffff, true);
  view.setUint16(at + INODE.checksumHigh, checksum >>> 16, true);
}

function writeTimes(view: DataView, at: number, header: InodeHeader): void {
  const inRange = fitsInodeTime(header.mtimeSeconds);
  const seconds = Math.min(Math.max(header.mtimeSeconds, SECONDS_MIN), SECONDS_MAX);
  const epoch = Math.floor((seconds + 2 ** 31) / 2 ** 32);
  const extra = epoch | ((inRange ? header.mtimeNanoseconds : 0) << 2);
  for (const field of [INODE.accessTime, INODE.changeTime, INODE.modifyTime, INODE.createTime]) {
    view.setInt32(at + field, seconds | 0, true);
  }
  for (const field of [INODE.accessTimeExtra, INODE.changeTimeExtra, INODE.modifyTimeExtra, INODE.createTimeExtra]) {
    view.setInt32(at + field, extra, true);
  }
}

/** `old_encode_dev` in the first number where it can say it, else `new_encode_dev` in the second. */
function writeDevice(view: DataView, at: number, { deviceMajor, deviceMinor }: Entry): void {
  if (deviceMajor < 256 && deviceMinor < 256) view.setUint32(at, (deviceMajor << 8) | deviceMinor, true);
  else view.setUint32(at + 4, (deviceMinor & 0xff) | (deviceMajor << 8) | ((deviceMinor & ~0xff) << 12), true);
}

function inodeFlags({ directory, value }: Inode, isMapped: boolean): number {
  let flags: number = isMapped ? INODE_FLAG.extents : 0;
  if (directory?.index !== undefined) flags |= INODE_FLAG.index;
  if (value !== undefined) flags |= INODE_FLAG.value;
  return flags;
}

/** Values of xattrs count here as well, wherever they are. */
function countBlocks({ extentBlocks, xattrBlock, extents, xattrs }: Inode): number {
  let count = extentBlocks.length + (xattrBlock === 0 ? 0 : 1);
  for (const { length } of extents) count += length;
  if (xattrs === undefined) return count;
  for (const { own } of [...xattrs.inode, ...xattrs.block]) if (own !== undefined) count += countValueBlocks(own.bytes);
  return count;
}
