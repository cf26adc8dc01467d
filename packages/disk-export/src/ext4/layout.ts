/*
 * ext4. Facts from Linux, Documentation/filesystems/ext4, and from e2fsprogs' headers. Everything is little-endian.
 *
 * The disk is cut into groups of 32,768 blocks. Sixteen groups share a flex group: the bitmaps and inode tables of all sixteen lie in
 * the first. Groups 0, 1 and the powers of 3, 5 and 7 begin with a copy of the superblock and of the descriptor table.
 *
 *   group 0                                                                                    group 1
 *  +------+------------+-------------+----------+---------+---------+-----------+------------+------------+------
 *  | zero | superblock | group       | reserved | block   | inode   | inode     | contents   | superblock |
 *  | 1024 | 1024 ..    | descriptors | for more | bitmaps | bitmaps | tables    |            | (copy) ..  |
 *  +------+------------+-------------+----------+---------+---------+-----------+------------+------------+------
 *  block 0              1             ..         one a group each                              32768
 *
 * Contents are, in this order: directories, targets of long links and blocks of xattrs, files in the order in which their source is
 * read, values of xattrs that have inodes of their own, the journal, the map of the resize inode. They fill the free blocks from the
 * first on, without a gap.
 *
 * An inode:
 *
 *  +--------------------------------------------------+---------------+--------------------------------------+
 *  | 128 bytes, 60 of them for a map of the contents, | 32 bytes: ns, | xattrs: magic 4, entries ->, zeros,  |
 *  | a short link's target or a device's number       | checksum, ... | <- values                            |
 *  +--------------------------------------------------+---------------+--------------------------------------+
 *  0                                                  128             160                                   256
 */

export const BLOCK_BYTES = 4096;
export const SECTORS_PER_BLOCK: number = BLOCK_BYTES / 512;
export const BLOCKS_PER_GROUP = 32768;
/** Extents and group descriptors could count further, `i_file_acl` and the resize inode could not. */
export const BLOCKS_MAX: number = 2 ** 32;
export const GROUPS_PER_FLEX = 16;
export const FLEX_BITS = 4;
/** An inode bitmap is one block. */
export const INODES_PER_GROUP_MAX = 32768;

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;
export const SUPERBLOCK_MAGIC = 0xef53;

/** Offsets in `struct ext4_super_block`. */
export const SUPERBLOCK = {
  inodeCount: 0x0,
  blockCount: 0x4,
  rootBlockCount: 0x8,
  freeBlockCount: 0xc,
  freeInodeCount: 0x10,
  blockSizeLog: 0x18,
  clusterSizeLog: 0x1c,
  blocksPerGroup: 0x20,
  clustersPerGroup: 0x24,
  inodesPerGroup: 0x28,
  writeTime: 0x30,
  mountCountMax: 0x36,
  magic: 0x38,
  state: 0x3a,
  onError: 0x3c,
  checkTime: 0x40,
  revision: 0x4c,
  firstInode: 0x54,
  inodeBytes: 0x58,
  group: 0x5a,
  compat: 0x5c,
  incompat: 0x60,
  roCompat: 0x64,
  uuid: 0x68,
  label: 0x78,
  reservedDescriptorBlocks: 0xce,
  journalInode: 0xe0,
  hashSeed: 0xec,
  hashVersion: 0xfc,
  journalBackupType: 0xfd,
  descriptorBytes: 0xfe,
  mountOptions: 0x100,
  makeTime: 0x108,
  journalBackup: 0x10c,
  blockCountHigh: 0x150,
  freeBlockCountHigh: 0x158,
  extraInodeBytesMin: 0x15c,
  extraInodeBytesWanted: 0x15e,
  flags: 0x160,
  flexBits: 0x174,
  checksumType: 0x175,
  checksum: 0x3fc,
} as const;

/** `s_feature_compat`. `resize_inode` is set only where blocks are reserved for it. */
export const COMPAT = { hasJournal: 0x4, extAttr: 0x8, resizeInode: 0x10, dirIndex: 0x20 } as const;
/** `filetype | extents | 64bit | flex_bg` */
export const INCOMPAT_FEATURES: number = 0x2 | 0x40 | 0x80 | 0x200;
/** Set only where a value of an xattr has an inode of its own. */
export const INCOMPAT_VALUE_INODES = 0x400;
/** `sparse_super | large_file | huge_file | dir_nlink | extra_isize | metadata_csum` */
export const RO_COMPAT_FEATURES: number = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;
/** `EXT4_DEFM_XATTR_USER | EXT4_DEFM_ACL`, as mke2fs sets them. */
export const DEFAULT_MOUNT_OPTIONS: number = 0x4 | 0x8;
/** `EXT4_DX_HASH_HALF_MD4`, and that it takes names as signed characters. */
export const HASH_HALF_MD4 = 1;
export const FLAGS_SIGNED_HASH = 1;
export const CHECKSUM_CRC32C = 1;

export const DESCRIPTOR_BYTES = 64;

/** Offsets in `struct ext4_group_desc`. No count of a group and no block number needs the high halves. */
export const DESCRIPTOR = {
  blockBitmap: 0x0,
  inodeBitmap: 0x4,
  inodeTable: 0x8,
  freeBlockCount: 0xc,
  freeInodeCount: 0xe,
  directoryCount: 0x10,
  flags: 0x12,
  blockBitmapChecksum: 0x18,
  inodeBitmapChecksum: 0x1a,
  unusedInodeCount: 0x1c,
  checksum: 0x1e,
  blockBitmapChecksumHigh: 0x38,
  inodeBitmapChecksumHigh: 0x3a,
} as const;

/** `bg_flags`: which of the group's bitmaps were never written, and that its inode table is all zeros where it is not used. */
export const GROUP_FLAG = { inodeUninit: 1, blockUninit: 2, tableZeroed: 4 } as const;

export const ROOT_INODE = 2;
export const RESIZE_INODE = 7;
export const JOURNAL_INODE = 8;
/** The first that is not reserved; lost+found is there. */
export const FIRST_INODE = 11;

export const INODE_BYTES = 256;
export const INODES_PER_BLOCK: number = BLOCK_BYTES / INODE_BYTES;
export const EXTRA_INODE_BYTES = 32;

/** Offsets in `struct ext4_inode`. */
export const INODE = {
  mode: 0x0,
  uid: 0x2,
  size: 0x4,
  accessTime: 0x8,
  changeTime: 0xc,
  modifyTime: 0x10,
  gid: 0x18,
  links: 0x1a,
  sectors: 0x1c,
  flags: 0x20,
  version: 0x24,
  blocks: 0x28,
  xattrBlock: 0x68,
  sizeHigh: 0x6c,
  sectorsHigh: 0x74,
  uidHigh: 0x78,
  gidHigh: 0x7a,
  checksum: 0x7c,
  extraBytes: 0x80,
  checksumHigh: 0x82,
  changeTimeExtra: 0x84,
  modifyTimeExtra: 0x88,
  accessTimeExtra: 0x8c,
  createTime: 0x90,
  createTimeExtra: 0x94,
  xattrs: 0xa0,
} as const;

/** `i_block`: fifteen numbers, or an extent header and four extents, or a short link's target. */
export const INODE_MAP_BYTES = 60;
/** `i_flags`: a directory has an index, contents are mapped by extents, contents are the value of an xattr. */
export const INODE_FLAG = { index: 0x1000, extents: 0x80000, value: 0x200000 } as const;

/** Two bits of epoch beyond the signed 32 of 1970: 1901-12-13 to 2446-05-10. */
export const SECONDS_MIN: number = -(2 ** 31);
export const SECONDS_MAX: number = 2 ** 34 - 2 ** 31 - 1;

export const LINKS_MAX = 65000;
export const NAME_MAX = 255;
/** A target and its NUL are one block. */
export const LINK_TARGET_MAX = 4095;
/** Extents number a file's blocks in 32 bits, and the last number means none. */
export const FILE_BYTES_MAX: number = (2 ** 32 - 1) * BLOCK_BYTES;
/** `XATTR_SIZE_MAX` of Linux. */
export const XATTR_VALUE_MAX = 65536;
export const DEVICE_MAJOR_MAX = 0xfff;
export const DEVICE_MINOR_MAX = 0xfffff;

/** The type in a directory's entry (`EXT4_FT_*`). */
export const FILE_TYPES = { file: 1, directory: 2, char: 3, block: 4, fifo: 5, socket: 6, symlink: 7 } as const;
