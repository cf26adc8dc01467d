import { crc32c } from "../../crc32c.js";
import { diskInvalid, diskUnsupported, readWide, viewOf } from "../../reading/metadata.js";
import type { DiskMetadata } from "../../reading/metadata.js";
import { SLOT_BYTES, SUPERBLOCK, SUPERBLOCK_BYTES, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET } from "../layout.js";

/** What the writer leaves at zero, beside {@link SUPERBLOCK}. */
const FIELD = {
  buildNanoseconds: 32,
  metadataBlock: 40,
  extraDevices: 86,
  deviceSlot: 88,
  directoryBlockBits: 90,
  prefixCount: 91,
  prefixStart: 92,
  packedNid: 96,
} as const;
const COMPAT_CHECKSUM = 0x1;
const COMPAT_PLAIN_PREFIXES = 0x10;
/** From zero padding to long prefixes of xattrs' names; what came later changes where everything lies. */
const INCOMPAT_READ = 0x7f;
const INCOMPAT_ZERO_PADDING = 0x1;
const INCOMPAT_DEVICES = 0x8;
const INCOMPAT_FRAGMENTS = 0x20;
const INCOMPAT_PREFIXES = 0x40;
const BLOCK_BITS_MIN = 9;
const BLOCK_BITS_MAX = 16;
const DEVICE_SLOT_BYTES = 128;
const DEVICE_START = 68;
const NANOSECONDS_MAX = 999_999_999;

/** What the rest of the reader needs to know of a disk. */
export interface ErofsVolume {
  readonly metadata: DiskMetadata;
  readonly blockBits: number;
  readonly blockBytes: number;
  readonly rootNid: number;
  /** In bytes: where inodes are counted from, and shared xattrs. */
  readonly inodesStart: number;
  readonly sharedXattrsStart: number;
  /** The time of inodes that have none of their own. */
  readonly buildSeconds: number;
  readonly buildNanoseconds: number;
  /** Whether compressed bytes lie at the end of their blocks. */
  readonly hasZeroPadding: boolean;
  /** The inode that holds fragments of many files; undefined where there is none. */
  readonly packedNid: number | undefined;
  /** Where the prefixes of xattrs' names are. */
  readonly prefixes: { readonly count: number; readonly start: number; readonly isPacked: boolean } | undefined;
  /** For each further device the first block that stands for it here; 0 where its data is elsewhere. */
  readonly deviceStarts: readonly number[];
}

/** @throws {DiskExportError} `disk_invalid`; `unsupported` where a feature is */
export async function readErofsSuperblock(metadata: DiskMetadata): Promise<ErofsVolume> {
  const { format } = metadata;
  const bytes = await metadata.read("superblock", SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES);
  const view = viewOf(bytes);
  const refuse = (state: string): never => {
    throw diskInvalid(format, "superblock", state);
  };
  if (view.getUint32(SUPERBLOCK.magic, true) !== SUPERBLOCK_MAGIC) refuse("it has no EROFS magic number");
  const blockBits = view.getUint8(SUPERBLOCK.blockBits);
  if (blockBits < BLOCK_BITS_MIN || blockBits > BLOCK_BITS_MAX) refuse("its block size is none that EROFS has");
  const blockBytes = 2 ** blockBits;
  const compat = view.getUint32(SUPERBLOCK.featureCompat, true);
  if ((compat & COMPAT_CHECKSUM) !== 0 && !(await isChecksumRight(metadata, blockBytes)))
    refuse("its checksum is wrong");
  const incompat = view.getUint32(SUPERBLOCK.featureIncompat, true);
  const unknown = incompat & ~INCOMPAT_READ;
  if (unknown !== 0)
    throw diskUnsupported(format, "disk", `its features 0x${(unknown >>> 0).toString(16)} are unknown`);
  if (view.getUint8(FIELD.directoryBlockBits) !== 0)
    throw diskUnsupported(format, "disk", "its directories have blocks of another size");
  if (view.getUint32(SUPERBLOCK.blockCount, true) * blockBytes > metadata.sizeBytes)
    refuse(
      `it tells of ${view.getUint32(SUPERBLOCK.blockCount, true)} blocks, the disk has ${metadata.sizeBytes} bytes`,
    );

  const packedNid = readWide(view, FIELD.packedNid);
  const hasPacked = (incompat & INCOMPAT_FRAGMENTS) !== 0 && packedNid > 0;
  const prefixes = {
    count: view.getUint8(FIELD.prefixCount),
    start: view.getUint32(FIELD.prefixStart, true) * 4,
    isPacked: hasPacked && (compat & COMPAT_PLAIN_PREFIXES) === 0,
  };
  return {
    metadata,
    blockBits,
    blockBytes,
    rootNid: view.getUint16(SUPERBLOCK.rootNid, true),
    inodesStart: view.getUint32(FIELD.metadataBlock, true) * blockBytes,
    sharedXattrsStart: view.getUint32(SUPERBLOCK.xattrBlock, true) * blockBytes,
    buildSeconds: readSeconds(view, SUPERBLOCK.buildTime),
    buildNanoseconds: Math.min(view.getUint32(FIELD.buildNanoseconds, true), NANOSECONDS_MAX),
    hasZeroPadding: (incompat & INCOMPAT_ZERO_PADDING) !== 0,
    packedNid: hasPacked ? packedNid : undefined,
    prefixes: (incompat & INCOMPAT_PREFIXES) !== 0 && prefixes.count > 0 ? prefixes : undefined,
    deviceStarts: (incompat & INCOMPAT_DEVICES) === 0 ? [] : await readDevices(metadata, view),
  };
}

/** Where an inode lies, in bytes. */
export function inodePosition({ inodesStart }: ErofsVolume, nid: number): number {
  return inodesStart + nid * SLOT_BYTES;
}

/** Seconds since 1970, in 64 bits with a sign. Those that a double cannot hold come as its nearest. */
export function readSeconds(view: DataView, at: number): number {
  return Number(view.getBigInt64(at, true));
}

/** It covers all of its block behind it, which is the rest of block 0 or block 1024 / size. */
async function isChecksumRight(metadata: DiskMetadata, blockBytes: number): Promise<boolean> {
  const length = blockBytes > SUPERBLOCK_OFFSET ? blockBytes - SUPERBLOCK_OFFSET : blockBytes;
  const bytes = Uint8Array.from(await metadata.read("superblock", SUPERBLOCK_OFFSET, length));
  const view = viewOf(bytes);
  const stored = view.getUint32(SUPERBLOCK.checksum, true);
  view.setUint32(SUPERBLOCK.checksum, 0, true);
  return crc32c(0xffffffff, bytes) === stored;
}

async function readDevices(metadata: DiskMetadata, superblock: DataView): Promise<number[]> {
  const count = superblock.getUint16(FIELD.extraDevices, true);
  const start = superblock.getUint16(FIELD.deviceSlot, true) * DEVICE_SLOT_BYTES;
  const view = viewOf(await metadata.read("table of devices", start, count * DEVICE_SLOT_BYTES));
  return Array.from({ length: count }, (_, index) => view.getUint32(index * DEVICE_SLOT_BYTES + DEVICE_START, true));
}
