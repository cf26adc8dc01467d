import type { CallOptions } from "@lamella/refs";

/** What an entry of a finished tree can be. */
export type FileKind = "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";

/** The attributes that an inode of any kind has. */
export interface Attributes {
  /** The low twelve bits of `st_mode`: permissions, setuid, setgid, sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, possibly negative. */
  readonly mtimeSeconds: number;
  /** 0 to 999,999,999, counted forward from `mtimeSeconds`. */
  readonly mtimeNanoseconds: number;
  /** By full name (`user.x`, `security.capability`); names are byte strings. Shared and empty where there are none. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A run of bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** What a file, a link or a device says beside its attributes. */
export interface Content {
  /** Bytes of a file or of a symlink's target; 0 for every other kind. */
  readonly size: number;
  /** A symlink's target as a byte string; empty for every other kind. */
  readonly linkTarget: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** A sparse file's ranges that hold data, ascending and disjoint; absent where all of it does. */
  readonly extents?: readonly Extent[];
}

/**
 * One name in a tree.
 *
 * Names are bytes: every path, link target and xattr name is a *byte string*, in which each character is one byte
 * (U+0000 to U+00FF). That is lossless for any name and sorts as bytes do. Decode only to show it to a person (`displayPath`).
 */
export interface Entry extends Attributes, Content {
  /** Slash-separated, with no leading or trailing slash and no `.` or `..`; the root is the empty string. */
  readonly path: string;
  readonly kind: FileKind;
  /** Names with the same number are hard links to one inode: they agree in everything but `path`. From 0, dense. */
  readonly inode: number;
  /** How many names the inode has in this tree; for a directory 1. */
  readonly links: number;
  /** Reading files in ascending order of this number is sequential at the source. Equal where there is nothing to gain. */
  readonly locality: number;
}

export interface ReadOptions extends CallOptions {
  /** First byte; 0 by default. */
  offset?: number;
  /** How many bytes; to the end of the file by default. */
  length?: number;
}

/**
 * Anything that can be read as a file system. Everything in Lamella makes one or takes one.
 *
 * A tree does not change while it is in use, so entries may be kept and read later, in any order and at the same time.
 * Whoever opened it closes it; after that every call throws.
 */
export interface FileTree extends AsyncDisposable {
  /** How many names and inodes there are, the root included. */
  readonly entryCount: number;
  readonly inodeCount: number;

  /** Every entry once: the root first, parents before children, siblings in byte order, each directory's subtree together. */
  entries(options?: CallOptions): AsyncIterable<Entry>;

  /** The entry of exactly this path; symlinks are not followed. */
  lookup(path: string, options?: CallOptions): Promise<Entry | undefined>;

  /**
   * A file's bytes; holes read as zeros. Gives exactly `length` bytes or throws.
   * A chunk is valid only until the next is asked for: copy what is kept.
   */
  read(entry: Entry, options?: ReadOptions): AsyncIterable<Uint8Array>;

  /**
   * `length` bytes of a file from `offset` that are at hand, for a reader of many small files: waiting costs more than they do. Undefined
   * where they are not, or a tree knows none: then `read` gives them. Copy them at once: anything else that happens to the tree may overwrite them.
   */
  readNow?(entry: Entry, offset: number, length: number): Uint8Array | undefined;
}
