/*
 * EROFS. Facts from Linux: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. Everything is little-endian.
 *
 *   block 0                 1 ..                        .. then                  .. to the end
 *  +------+------------+---+---------------------------+------------------------+---------------------------+
 *  | zero | superblock | 0 | inodes, in 32-byte slots, | directories' blocks    | links' and files' blocks  |
 *  |      |            |   | then shared xattrs        |                        |                           |
 *  +------+------------+---+---------------------------+------------------------+---------------------------+
 *  0      1024         1152
 *
 * An inode. Its number (nid) is its offset on the disk / 32. What a file, a directory or a link has beyond whole blocks may follow
 * at once (an inline tail); here such an inode lies in one block as a whole.
 *
 *  +------------+---------------------------+-------------+
 *  | inode, 64  | xattrs: header 12, then   | inline tail |
 *  |            | entries, 4-aligned each   |             |
 *  +------------+---------------------------+-------------+
 *
 * A block of a directory, or its inline tail. Names are in byte order, `.` and `..` among them, within a block and from block to block.
 *
 *  +----------+----------+-----+--------+--------+-----+--------------+
 *  | dirent 0 | dirent 1 | ... | name 0 | name 1 | ... | zeros        |
 *  +----------+----------+-----+--------+--------+-----+--------------+
 *   12 bytes                   ^ nameoff of dirent 0 = 12 * count of dirents
 */

export const BLOCK_BYTES = 4096;
/** Blocks are numbered by 32 bits, and 0xffffffff means none. */
export const BLOCKS_MAX = 0xffffffff;
/** Of disks whose file data lies in a tar, at any multiple of 512. */
export const SMALL_BLOCK_BYTES = 512;
export const NO_BLOCK = 0xffffffff;

export const SLOT_BYTES = 32;
/** With numbers counted from the disk's start, the root's is 128: sixteen bits hold it, and no inode is number 0. */
export const INODES_START = 4096;

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 128;
export const SUPERBLOCK_MAGIC = 0xe0f5e1e2;
/** `EROFS_FEATURE_COMPAT_*`: the superblock has a checksum; times are of modification. */
export const FEATURE_CHECKSUM = 0x1;
export const FEATURE_MTIME = 0x2;

/** Offsets in `struct erofs_super_block`. */
export const SUPERBLOCK = {
  magic: 0,
  checksum: 4,
  featureCompat: 8,
  blockBits: 12,
  rootNid: 14,
  inodeCount: 16,
  buildTime: 24,
  blockCount: 36,
  xattrBlock: 44,
  uuid: 48,
  label: 64,
  featureIncompat: 80,
  algorithms: 84,
  deviceCount: 86,
  deviceTableSlot: 88,
} as const;

/** `EROFS_FEATURE_INCOMPAT_*`: compressed bytes at the end of their blocks; configurations behind the superblock, extents of many blocks. */
export const FEATURE_ZERO_PADDING = 0x1;
export const FEATURE_COMPRESSION_CONFIGS = 0x2;
/** Files in chunks, which may lie on other devices. */
export const FEATURE_CHUNKED_FILES = 0x4;
export const FEATURE_DEVICE_TABLE = 0x8;

export const DEVICE_SLOT_BYTES = 128;
export const DEVICES_MAX = 1024;

/** Offsets in `struct erofs_deviceslot`; a block's address there, if all devices are one, is `mappedBlock` and its own. */
export const DEVICE_SLOT = { blockCount: 64, mappedBlock: 68 } as const;

export const INODE_BYTES = 64;

/** Offsets in `struct erofs_inode_extended`. */
export const INODE = {
  format: 0,
  xattrCount: 2,
  mode: 4,
  size: 8,
  /** The first block, or a device's number. */
  union: 16,
  number: 20,
  uid: 24,
  gid: 28,
  mtime: 32,
  mtimeNanoseconds: 40,
  links: 44,
} as const;

/** `i_format`: bit 0 is an extended inode, bits 1 to 3 are where its data lies. */
export const FORMAT_PLAIN = 0b0001;
export const FORMAT_INLINE_TAIL = 0b0101;
export const FORMAT_COMPRESSED = 0b0111;
export const FORMAT_CHUNKED = 0b1001;

/** In the inode's union: indexes of 8 bytes; below it five bits say how many blocks a chunk has, as a power of two. */
export const CHUNK_INDEXES = 0x20;
export const CHUNK_INDEX_BYTES = 8;
/** Without that bit a chunk has just its block, and {@link NO_BLOCK} for a hole. */
export const CHUNK_ADDRESS_BYTES = 4;
/** Offsets in `struct erofs_inode_chunk_index`. */
export const CHUNK_INDEX = { device: 2, block: 4 } as const;

/** Numbers of `Z_EROFS_COMPRESSION_*`, and `h_advise` of a map header: `COMPACTED_2B | BIG_PCLUSTER_1 | BIG_PCLUSTER_2`. */
export const COMPRESSION = {
  lz4: 0,
  deflate: 2,
  zstd: 3,
  adviseCompactedBigClusters: 0b111,
} as const;

export const XATTR_HEADER_BYTES = 12;
export const XATTR_ENTRY_BYTES = 4;
/** `i_xattr_icount` has sixteen bits and counts 4-byte units, the header as one. */
export const XATTRS_BYTES_MAX: number = XATTR_HEADER_BYTES + 4 * 0xfffe;
/** In the header: how many ids of shared xattrs follow it, before the inode's own. An id counts units from the shared area's first block. */
export const XATTR_SHARED_COUNT = 4;
export const XATTRS_SHARED_MAX = 255;
export const SHARED_ID_BYTES = 4;
export const SHARED_ID_UNIT = 4;
export const XATTR_NAME_MAX = 255;
export const XATTR_VALUE_MAX = 0xffff;

export const DIRENT_BYTES = 12;

/** Offsets in `struct erofs_dirent`. */
export const DIRENT = { nid: 0, nameOffset: 8, fileType: 10 } as const;

export const NAME_MAX = 255;
/** `PATH_MAX` counts the NUL that the kernel adds. */
export const LINK_TARGET_MAX = 4095;
export const DEVICE_MAJOR_MAX = 0xfff;
export const DEVICE_MINOR_MAX = 0xfffff;
