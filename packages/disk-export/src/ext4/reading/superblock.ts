import { crc32c } from "../../crc32c.js";
import { diskInvalid, diskUnsupported, viewOf } from "../../reading/metadata.js";
import type { DiskMetadata } from "../../reading/metadata.js";
import { checksumSeed } from "../checksum.js";
import { FIRST_INODE, SUPERBLOCK, SUPERBLOCK_BYTES, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET } from "../layout.js";

/** What the writer leaves at zero, beside {@link SUPERBLOCK}. */
const FIELD = { firstDataBlock: 0x14, firstMetaGroup: 0x104, checksumSeed: 0x270, backupGroups: 0x24c } as const;

const STATE_VALID = 1;
const STATE_ERRORS = 2;
const BLOCK_BITS_MIN = 10;
const BLOCK_BITS_MAX = 16;
const OLD_INODE_BYTES = 128;
const OLD_DESCRIPTOR_BYTES = 32;

const COMPAT_SPARSE_SUPER2 = 0x200;
const INCOMPAT = {
  fileType: 0x2,
  recover: 0x4,
  metaGroups: 0x10,
  extents: 0x40,
  wide: 0x80,
  multipleMount: 0x100,
  flexGroups: 0x200,
  valueInodes: 0x400,
  checksumSeed: 0x2000,
  largeDirectories: 0x4000,
  inlineData: 0x8000,
  encryption: 0x10000,
  caseFolding: 0x20000,
} as const;
/** An encrypted inode is refused on its own: most disks that may have some have none. */
const INCOMPAT_READ = Object.values(INCOMPAT).reduce((all, feature) => all | feature, 0);
const RO_COMPAT_SPARSE_SUPER = 0x1;
const RO_COMPAT_METADATA_CHECKSUMS = 0x400;

/** What the rest of the reader needs to know of a disk. */
export interface Ext4Volume {
  readonly metadata: DiskMetadata;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeCount: number;
  readonly inodeBytes: number;
  /** The first that may have a name, the root aside. */
  readonly firstInode: number;
  readonly descriptorBytes: number;
  /** From this group of descriptors on, each is kept in the groups that it describes. */
  readonly firstMetaGroup: number;
  readonly hasFileTypes: boolean;
  readonly hasLargeDirectories: boolean;
  /** What checksums start from; undefined where there are none. */
  readonly seed: number | undefined;
  hasSuperblockCopy(group: number): boolean;
}

/** @throws {DiskExportError} `disk_invalid`; `unsupported` where a feature is, or the disk has to be repaired first */
export async function readExt4Superblock(metadata: DiskMetadata): Promise<Ext4Volume> {
  const { format } = metadata;
  const bytes = await metadata.read("superblock", SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES);
  const view = viewOf(bytes);
  const refuse = (state: string): never => {
    throw diskInvalid(format, "superblock", state);
  };
  if (view.getUint16(SUPERBLOCK.magic, true) !== SUPERBLOCK_MAGIC) refuse("it has no ext4 magic number");

  const isOld = view.getUint32(SUPERBLOCK.revision, true) === 0;
  const incompat = isOld ? 0 : view.getUint32(SUPERBLOCK.incompat, true);
  const roCompat = isOld ? 0 : view.getUint32(SUPERBLOCK.roCompat, true);
  const compat = isOld ? 0 : view.getUint32(SUPERBLOCK.compat, true);
  const hasChecksums = (roCompat & RO_COMPAT_METADATA_CHECKSUMS) !== 0;
  if (hasChecksums && crc32c(0xffffffff, bytes, 0, SUPERBLOCK.checksum) !== view.getUint32(SUPERBLOCK.checksum, true))
    refuse("its checksum is wrong");
  requireClean(format, incompat, view.getUint16(SUPERBLOCK.state, true));
  const unknown = incompat & ~INCOMPAT_READ;
  if (unknown !== 0)
    throw diskUnsupported(format, "disk", `its features 0x${(unknown >>> 0).toString(16)} are unknown`);

  const isWide = (incompat & INCOMPAT.wide) !== 0;
  const blockBits = BLOCK_BITS_MIN + view.getUint32(SUPERBLOCK.blockSizeLog, true);
  if (blockBits > BLOCK_BITS_MAX) refuse("its block size is none that ext4 has");
  const blockBytes = 2 ** blockBits;
  const blockCount =
    view.getUint32(SUPERBLOCK.blockCount, true) +
    (isWide ? view.getUint32(SUPERBLOCK.blockCountHigh, true) * 2 ** 32 : 0);
  if (blockCount * blockBytes > metadata.sizeBytes)
    refuse(`it tells of ${blockCount * blockBytes} bytes, the disk has ${metadata.sizeBytes}`);

  const firstDataBlock = view.getUint32(FIELD.firstDataBlock, true);
  const blocksPerGroup = view.getUint32(SUPERBLOCK.blocksPerGroup, true);
  const inodesPerGroup = view.getUint32(SUPERBLOCK.inodesPerGroup, true);
  const inodeCount = view.getUint32(SUPERBLOCK.inodeCount, true);
  if (firstDataBlock > 1 || firstDataBlock >= blockCount) refuse("its first block is none");
  if (blocksPerGroup === 0 || inodesPerGroup === 0 || inodesPerGroup > 8 * blockBytes)
    refuse("its groups have no size");
  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  if (inodeCount > groupCount * inodesPerGroup) refuse("its groups cannot hold its inodes");

  const inodeBytes = isOld ? OLD_INODE_BYTES : view.getUint16(SUPERBLOCK.inodeBytes, true);
  if (!isPowerOfTwo(inodeBytes) || inodeBytes < OLD_INODE_BYTES || inodeBytes > blockBytes)
    refuse("its inodes have no size");
  const descriptorBytes = isWide ? view.getUint16(SUPERBLOCK.descriptorBytes, true) : OLD_DESCRIPTOR_BYTES;
  if (!isPowerOfTwo(descriptorBytes) || descriptorBytes < OLD_DESCRIPTOR_BYTES || descriptorBytes > blockBytes)
    refuse("its group descriptors have no size");

  return {
    metadata,
    blockBytes,
    blockCount,
    firstDataBlock,
    blocksPerGroup,
    inodesPerGroup,
    inodeCount,
    inodeBytes,
    firstInode: isOld ? FIRST_INODE : view.getUint32(SUPERBLOCK.firstInode, true),
    descriptorBytes,
    firstMetaGroup: (incompat & INCOMPAT.metaGroups) === 0 ? Infinity : view.getUint32(FIELD.firstMetaGroup, true),
    hasFileTypes: (incompat & INCOMPAT.fileType) !== 0,
    hasLargeDirectories: (incompat & INCOMPAT.largeDirectories) !== 0,
    seed: hasChecksums ? seedOf(bytes, view, incompat) : undefined,
    hasSuperblockCopy: copyRule(view, compat, roCompat),
  };
}

/** What the journal holds is not where it belongs yet: a reader without it would show a state that never was. */
function requireClean(format: string, incompat: number, state: number): void {
  const hint = "mount it once read-write, or run e2fsck";
  if ((incompat & INCOMPAT.recover) !== 0)
    throw diskUnsupported(format, "disk", `its journal was not replayed since it was last in use; ${hint}`);
  if ((state & STATE_VALID) === 0 || (state & STATE_ERRORS) !== 0)
    throw diskUnsupported(format, "disk", `it was not unmounted cleanly, or has errors; ${hint}`);
}

function seedOf(bytes: Uint8Array, view: DataView, incompat: number): number {
  return (incompat & INCOMPAT.checksumSeed) === 0
    ? checksumSeed(bytes.subarray(SUPERBLOCK.uuid, SUPERBLOCK.uuid + 16))
    : view.getUint32(FIELD.checksumSeed, true);
}

function copyRule(view: DataView, compat: number, roCompat: number): (group: number) => boolean {
  if ((compat & COMPAT_SPARSE_SUPER2) !== 0) {
    const groups = new Set([0, view.getUint32(FIELD.backupGroups, true), view.getUint32(FIELD.backupGroups + 4, true)]);
    return (group) => groups.has(group);
  }
  if ((roCompat & RO_COMPAT_SPARSE_SUPER) === 0) return () => true;
  return (group) => group <= 1 || [3, 5, 7].some((base) => isPowerOf(base, group));
}

function isPowerOf(base: number, value: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
