import { crc32c } from "../crc32c.js";
import type { Geometry } from "./geometry.js";
import type { Groups } from "./groups.js";
import {
  BLOCKS_PER_GROUP,
  CHECKSUM_CRC32C,
  COMPAT,
  DEFAULT_MOUNT_OPTIONS,
  DESCRIPTOR_BYTES,
  EXTRA_INODE_BYTES,
  FIRST_INODE,
  FLAGS_SIGNED_HASH,
  FLEX_BITS,
  HASH_HALF_MD4,
  INCOMPAT_FEATURES,
  INCOMPAT_VALUE_INODES,
  INODE,
  INODE_BYTES,
  INODE_MAP_BYTES,
  JOURNAL_INODE,
  RO_COMPAT_FEATURES,
  SUPERBLOCK,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_MAGIC,
} from "./layout.js";
import { createScratch } from "./scratch.js";
import type { Scratch } from "./scratch.js";

const BLOCK_SIZE_LOG = 2;
const STATE_CLEAN = 1;
const ON_ERROR_CONTINUE = 1;
const REVISION_DYNAMIC = 1;
/** That `s_jnl_blocks` has a copy of what inode 8 says. */
const JOURNAL_BACKUP_BLOCKS = 1;
const NO_MOUNT_COUNT_MAX = 0xffff;

/** What a file system says of itself. */
export interface Volume {
  readonly uuid: Uint8Array;
  /** At most 16 bytes. */
  readonly label: Uint8Array;
  /** 32 bits. */
  readonly epochSeconds: number;
  /** Blocks that only root may fill. */
  readonly rootBlockCount: number;
  /** The journal's inode as it is on the disk; undefined without a journal. */
  readonly journalInode: Uint8Array | undefined;
  /** Whether a value of an xattr has an inode of its own. */
  readonly hasValueInodes: boolean;
}

/** The 1,024 bytes of the superblock in one of the groups that have one. */
export function encodeSuperblock(volume: Volume, geometry: Geometry, groups: Groups, group: number): Uint8Array {
  const { bytes, view } = createScratch(SUPERBLOCK_BYTES);
  const { blockCount, inodesPerGroup, reservedDescriptorBlocks } = geometry;
  view.setUint32(SUPERBLOCK.inodeCount, geometry.groupCount * inodesPerGroup, true);
  view.setUint32(SUPERBLOCK.blockCount, blockCount % 2 ** 32, true);
  view.setUint32(SUPERBLOCK.blockCountHigh, Math.floor(blockCount / 2 ** 32), true);
  view.setUint32(SUPERBLOCK.rootBlockCount, volume.rootBlockCount, true);
  view.setUint32(SUPERBLOCK.freeBlockCount, groups.freeBlockCount, true);
  view.setUint32(SUPERBLOCK.freeInodeCount, groups.freeInodeCount, true);
  view.setUint32(SUPERBLOCK.blockSizeLog, BLOCK_SIZE_LOG, true);
  view.setUint32(SUPERBLOCK.clusterSizeLog, BLOCK_SIZE_LOG, true);
  view.setUint32(SUPERBLOCK.blocksPerGroup, BLOCKS_PER_GROUP, true);
  view.setUint32(SUPERBLOCK.clustersPerGroup, BLOCKS_PER_GROUP, true);
  view.setUint32(SUPERBLOCK.inodesPerGroup, inodesPerGroup, true);
  for (const field of [SUPERBLOCK.writeTime, SUPERBLOCK.checkTime, SUPERBLOCK.makeTime]) {
    view.setUint32(field, volume.epochSeconds, true);
  }
  view.setUint16(SUPERBLOCK.mountCountMax, NO_MOUNT_COUNT_MAX, true);
  view.setUint16(SUPERBLOCK.magic, SUPERBLOCK_MAGIC, true);
  view.setUint16(SUPERBLOCK.state, STATE_CLEAN, true);
  view.setUint16(SUPERBLOCK.onError, ON_ERROR_CONTINUE, true);
  view.setUint32(SUPERBLOCK.revision, REVISION_DYNAMIC, true);
  view.setUint32(SUPERBLOCK.firstInode, FIRST_INODE, true);
  view.setUint16(SUPERBLOCK.inodeBytes, INODE_BYTES, true);
  view.setUint16(SUPERBLOCK.group, group, true);
  const resize = reservedDescriptorBlocks > 0 ? COMPAT.resizeInode : 0;
  const journal = volume.journalInode === undefined ? 0 : COMPAT.hasJournal;
  view.setUint32(SUPERBLOCK.compat, COMPAT.extAttr | COMPAT.dirIndex | resize | journal, true);
  view.setUint32(SUPERBLOCK.incompat, INCOMPAT_FEATURES | (volume.hasValueInodes ? INCOMPAT_VALUE_INODES : 0), true);
  view.setUint32(SUPERBLOCK.roCompat, RO_COMPAT_FEATURES, true);
  bytes.set(volume.uuid, SUPERBLOCK.uuid);
  bytes.set(volume.label, SUPERBLOCK.label);
  view.setUint16(SUPERBLOCK.reservedDescriptorBlocks, reservedDescriptorBlocks, true);
  bytes.set(volume.uuid, SUPERBLOCK.hashSeed);
  view.setUint8(SUPERBLOCK.hashVersion, HASH_HALF_MD4);
  view.setUint16(SUPERBLOCK.descriptorBytes, DESCRIPTOR_BYTES, true);
  view.setUint32(SUPERBLOCK.mountOptions, DEFAULT_MOUNT_OPTIONS, true);
  view.setUint16(SUPERBLOCK.extraInodeBytesMin, EXTRA_INODE_BYTES, true);
  view.setUint16(SUPERBLOCK.extraInodeBytesWanted, EXTRA_INODE_BYTES, true);
  view.setUint32(SUPERBLOCK.flags, FLAGS_SIGNED_HASH, true);
  view.setUint8(SUPERBLOCK.flexBits, FLEX_BITS);
  view.setUint8(SUPERBLOCK.checksumType, CHECKSUM_CRC32C);
  if (volume.journalInode !== undefined) writeJournalBackup({ bytes, view }, volume.journalInode);
  view.setUint32(SUPERBLOCK.checksum, crc32c(0xffffffff, bytes, 0, SUPERBLOCK.checksum), true);
  return bytes;
}

/** Where the journal is, for an fsck that cannot read inode 8: the inode's map, then the high and the low half of its size. */
function writeJournalBackup({ bytes, view }: Scratch, inode: Uint8Array): void {
  view.setUint32(SUPERBLOCK.journalInode, JOURNAL_INODE, true);
  view.setUint8(SUPERBLOCK.journalBackupType, JOURNAL_BACKUP_BLOCKS);
  bytes.set(inode.subarray(INODE.blocks, INODE.blocks + INODE_MAP_BYTES), SUPERBLOCK.journalBackup);
  const sizeAt = SUPERBLOCK.journalBackup + INODE_MAP_BYTES;
  bytes.set(inode.subarray(INODE.sizeHigh, INODE.sizeHigh + 4), sizeAt);
  bytes.set(inode.subarray(INODE.size, INODE.size + 4), sizeAt + 4);
}
