/**
 * The kernel's side of FUSE, as far as a read-only file system needs it: version 7, little-endian fields, each message one read or one write of
 * /dev/fuse (Linux `include/uapi/linux/fuse.h`).
 *
 *     request   length 4 | opcode 4 | unique 8 | node 8 | uid 4 | gid 4 | pid 4 | extensions 2 | padding 2 | arguments …
 *     reply     length 4 | -errno 4 | unique 8 | result …
 *     attr      ino 8 | size 8 | blocks 8 | atime 8 | mtime 8 | ctime 8 | nanoseconds 3 × 4 | mode 4 | nlink 4 | uid 4 | gid 4 | rdev 4 | blksize 4 | flags 4
 *     entry     node 8 | generation 8 | entry valid 8 | attr valid 8 | nanoseconds 2 × 4 | attr
 *     dirent    ino 8 | next offset 8 | name length 4 | type 4 | name, to a multiple of 8
 *
 * One object, since the thread that answers the kernel gets it as data.
 */
export const PROTOCOL = {
  major: 7,
  /** The latest minor version whose messages are known here (Linux 6.12); the kernel may speak an earlier one, from 7.28 on (Linux 4.20). */
  minor: 41,
  leastMinor: 28,
  /** The node that the kernel knows before it has asked. */
  root: 1,

  requestHead: 40,
  replyHead: 16,
  attrSize: 88,
  entrySize: 128,
  direntHead: 24,
  initSize: 64,
  statfsSize: 80,

  /** The most bytes that one READ may ask for: 256 pages, as many as any kernel takes in one request. */
  maxRead: 0x100000,
  /** Nothing is ever written, but the kernel wants to hear of at least a page. */
  maxWrite: 4096,
  maxPages: 256,
  /** Reads that nobody waits for yet, and how many of them slow down who reads ahead. */
  maxBackground: 64,
  congestionThreshold: 48,
  /** The longest name that the kernel takes. */
  maxName: 1024,
  /** readlink(2) gives no more. */
  maxTarget: 4095,
  /** A tree does not change: the kernel may keep what it was told for good, that is ten years. */
  validSeconds: 315_360_000,

  opcode: {
    lookup: 1,
    forget: 2,
    getattr: 3,
    readlink: 5,
    open: 14,
    read: 15,
    statfs: 17,
    getxattr: 22,
    listxattr: 23,
    flush: 25,
    init: 26,
    opendir: 27,
    readdir: 28,
    interrupt: 36,
    destroy: 38,
    batchForget: 42,
    readdirplus: 44,
  },

  /** What would change something. The kernel does not ask, as the mount is read-only. */
  changes: [4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51] as readonly number[],

  errno: {
    ENOENT: 2,
    EINTR: 4,
    EIO: 5,
    ENOTDIR: 20,
    EISDIR: 21,
    EINVAL: 22,
    EROFS: 30,
    ERANGE: 34,
    ENAMETOOLONG: 36,
    ENOSYS: 38,
    ENODATA: 61,
    EPROTO: 71,
    ESTALE: 116,
  },

  /** Of INIT. */
  flag: {
    asyncRead: 0x1,
    exportSupport: 0x10,
    readdirplus: 0x2000,
    readdirplusAuto: 0x4000,
    noOpen: 0x20000,
    parallelDirectories: 0x40000,
    posixAcl: 0x100000,
    maxPages: 0x400000,
    cacheSymlinks: 0x800000,
    noOpendir: 0x1000000,
  },

  /** The file type bits of `st_mode`. */
  typeMask: 0o170_000,
  type: {
    fifo: 0o010_000,
    char: 0o020_000,
    directory: 0o040_000,
    block: 0o060_000,
    file: 0o100_000,
    symlink: 0o120_000,
    socket: 0o140_000,
  },
} as const;

export type Protocol = typeof PROTOCOL;
