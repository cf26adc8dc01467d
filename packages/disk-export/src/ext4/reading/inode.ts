import type { FileKind } from "@lamella/layer-format";

import { crc32c } from "../../crc32c.js";
import { kindOfMode } from "../../reading/inode-kind.js";
import { diskInvalid, diskUnsupported, viewOf } from "../../reading/metadata.js";
import { checksumNumber } from "../checksum.js";
import { DESCRIPTOR, INODE, INODE_MAP_BYTES, ROOT_INODE, SUPERBLOCK_OFFSET } from "../layout.js";
import type { Ext4Volume } from "./superblock.js";

const OLD_INODE_BYTES = 128;
const DESCRIPTOR_INODE_TABLE_HIGH = 0x28;
const WIDE_DESCRIPTOR_BYTES = 64;
const GENERATION = 0x64;
const XATTR_BLOCK_HIGH = 0x76;
const NANOSECONDS_MAX = 999_999_999;

export const INODE_FLAG = {
  encrypted: 0x800,
  indexed: 0x1000,
  extents: 0x80000,
  valueInode: 0x200000,
  inlineData: 0x10000000,
} as const;

/** An inode's fields, decoded, and where on the disk it is. */
export interface Ext4Inode {
  readonly number: number;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly flags: number;
  /** 0 for none. */
  readonly xattrBlock: number;
  /** In bytes, of the disk. */
  readonly position: number;
  /** The map of its contents, or what stands in its place. */
  readonly map: Uint8Array;
  /** The bytes behind its fields, for xattrs. */
  readonly tail: Uint8Array;
  /** What checksums of its blocks start from; undefined where there are none. */
  readonly seed: number | undefined;
}

/** Reads inodes by their number. */
export interface Ext4InodeReader {
  /** @throws {DiskExportError} `disk_invalid`, `unsupported` */
  read(number: number): Promise<Ext4Inode>;
}

export function createInodeReader(volume: Ext4Volume): Ext4InodeReader {
  const { metadata, inodesPerGroup, inodeBytes, blockBytes, seed } = volume;
  const { format } = metadata;
  const tables = new Map<number, number>();

  /** Where a group's inodes begin, in bytes. */
  async function inodeTable(group: number): Promise<number> {
    const known = tables.get(group);
    if (known !== undefined) return known;
    const bytes = await metadata.read(`group ${group}`, descriptorPosition(volume, group), volume.descriptorBytes);
    if (
      seed !== undefined &&
      descriptorChecksum(bytes, group, seed) !== viewOf(bytes).getUint16(DESCRIPTOR.checksum, true)
    )
      throw diskInvalid(format, `group ${group}`, "its checksum is wrong");
    const view = viewOf(bytes);
    const high = bytes.length < WIDE_DESCRIPTOR_BYTES ? 0 : view.getUint32(DESCRIPTOR_INODE_TABLE_HIGH, true);
    const table = (view.getUint32(DESCRIPTOR.inodeTable, true) + high * 2 ** 32) * blockBytes;
    tables.set(group, table);
    return table;
  }

  return {
    async read(number) {
      const what = `inode ${number}`;
      if (number < 1 || number > volume.inodeCount)
        throw diskInvalid(format, what, `the disk has ${volume.inodeCount} inodes`);
      const table = await inodeTable(Math.floor((number - 1) / inodesPerGroup));
      const position = table + ((number - 1) % inodesPerGroup) * inodeBytes;
      return decodeInode(await metadata.read(what, position, inodeBytes), { volume, number, position });
    },
  };
}

/** @throws {DiskExportError} `disk_invalid` for a number that no name may have */
export function requireNamed(volume: Ext4Volume, number: number): void {
  if (number === ROOT_INODE || number >= volume.firstInode) return;
  throw diskInvalid(volume.metadata.format, `inode ${number}`, "a name leads to it, and it is a reserved one");
}

function descriptorPosition(volume: Ext4Volume, group: number): number {
  const { blockBytes, descriptorBytes, firstDataBlock, blocksPerGroup } = volume;
  const perBlock = blockBytes / descriptorBytes;
  const metaGroup = Math.floor(group / perBlock);
  // Not counted from the first data block: with clusters that is 0 where the superblock is in block 1.
  const superblock = Math.floor(SUPERBLOCK_OFFSET / blockBytes);
  let block = superblock + 1 + metaGroup;
  if (metaGroup >= volume.firstMetaGroup) {
    const first = metaGroup * perBlock;
    const copyBlocks = volume.hasSuperblockCopy(first) ? 1 : 0;
    block = firstDataBlock + first * blocksPerGroup + copyBlocks;
    if (metaGroup === 0) block += superblock - firstDataBlock;
  }
  return block * blockBytes + (group % perBlock) * descriptorBytes;
}

function descriptorChecksum(bytes: Uint8Array, group: number, seed: number): number {
  const blank = Uint8Array.from(bytes);
  viewOf(blank).setUint16(DESCRIPTOR.checksum, 0, true);
  return crc32c(checksumNumber(seed, group), blank) & 0xffff;
}

function decodeInode(
  bytes: Uint8Array,
  { volume, number, position }: { volume: Ext4Volume; number: number; position: number },
): Ext4Inode {
  const { format } = volume.metadata;
  const what = `inode ${number}`;
  const view = viewOf(bytes);
  const extraBytes = bytes.length > OLD_INODE_BYTES ? view.getUint16(INODE.extraBytes, true) : 0;
  if (extraBytes % 4 !== 0 || OLD_INODE_BYTES + extraBytes > bytes.length)
    throw diskInvalid(format, what, `${extraBytes} bytes of further fields have no room in it`);
  const generation = view.getUint32(GENERATION, true);
  const seed = volume.seed === undefined ? undefined : checksumNumber(checksumNumber(volume.seed, number), generation);
  if (seed !== undefined) requireChecksum(format, bytes, { what, seed, extraBytes });

  const mode = view.getUint16(INODE.mode, true);
  const kind = kindOfMode(mode);
  if (kind === undefined || view.getUint16(INODE.links, true) === 0)
    throw diskInvalid(format, what, "it is not in use, but has a name");
  const flags = view.getUint32(INODE.flags, true);
  if ((flags & INODE_FLAG.encrypted) !== 0) throw diskUnsupported(format, what, "it is encrypted");

  const isLong = kind === "file" || (kind === "directory" && volume.hasLargeDirectories);
  const size = view.getUint32(INODE.size, true) + (isLong ? view.getUint32(INODE.sizeHigh, true) * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw diskInvalid(format, what, "its size is larger than any file's");
  const extra =
    OLD_INODE_BYTES + extraBytes >= INODE.modifyTimeExtra + 4 ? view.getUint32(INODE.modifyTimeExtra, true) : 0;
  const mtimeNanoseconds = extra >>> 2;
  if (mtimeNanoseconds > NANOSECONDS_MAX)
    throw diskInvalid(format, what, "its time has more than a second of nanoseconds");
  return {
    number,
    kind,
    mode: mode & 0o7777,
    uid: view.getUint16(INODE.uid, true) + view.getUint16(INODE.uidHigh, true) * 2 ** 16,
    gid: view.getUint16(INODE.gid, true) + view.getUint16(INODE.gidHigh, true) * 2 ** 16,
    size,
    mtimeSeconds: view.getInt32(INODE.modifyTime, true) + (extra & 3) * 2 ** 32,
    mtimeNanoseconds,
    flags,
    xattrBlock: view.getUint32(INODE.xattrBlock, true) + view.getUint16(XATTR_BLOCK_HIGH, true) * 2 ** 32,
    position,
    map: bytes.subarray(INODE.blocks, INODE.blocks + INODE_MAP_BYTES),
    tail: bytes.subarray(OLD_INODE_BYTES + extraBytes),
    seed,
  };
}

/** Of 32 bits, or of 16 where an inode has no room for the others. */
function requireChecksum(
  format: string,
  bytes: Uint8Array,
  { what, seed, extraBytes }: { what: string; seed: number; extraBytes: number },
): void {
  const view = viewOf(bytes);
  const blank = Uint8Array.from(bytes);
  const isWide = OLD_INODE_BYTES + extraBytes >= INODE.checksumHigh + 2;
  viewOf(blank).setUint16(INODE.checksum, 0, true);
  if (isWide) viewOf(blank).setUint16(INODE.checksumHigh, 0, true);
  const stored =
    view.getUint16(INODE.checksum, true) + (isWide ? view.getUint16(INODE.checksumHigh, true) * 2 ** 16 : 0);
  const checksum = crc32c(seed, blank);
  if ((isWide ? checksum : checksum & 0xffff) !== stored) throw diskInvalid(format, what, "its checksum is wrong");
}
