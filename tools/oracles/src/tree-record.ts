/** What an inode can be. */
export type TreeRecordType = "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";

/**
 * One name in a listed tree, with everything that a user of the file system can see of it.
 *
 * Names are byte strings: each character is one byte (U+0000 to U+00FF).
 */
export interface TreeRecord {
  /** Slash-separated, with no leading slash; the root is the empty string. */
  readonly path: string;
  readonly type: TreeRecordType;
  /** The low twelve bits of `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file or of a symlink's target; 0 for every other type. */
  readonly size: number;
  /** Nanoseconds since 1970 in decimal, possibly negative. */
  readonly mtime: string;
  /** `major:minor` of a device. */
  readonly rdev: string | null;
  /** Where a symlink points. */
  readonly target: string | null;
  /** `st_nlink`: for a directory 2 and one for each directory in it, or 1 where the file system does not count. */
  readonly links: number;
  /** For all names of an inode but the first in the listing's order: that first one. */
  readonly linkOf: string | null;
  /** Every extended attribute by its full name, in hexadecimal. */
  readonly xattrs: Readonly<Record<string, string>>;
  /** Of a file's content, in hexadecimal. */
  readonly sha256: string | null;
}

/** The order of a listing: parents before children, siblings by bytes, each directory's subtree together. */
export function comparePaths(left: string, right: string): number {
  const a = left.replaceAll("/", "\0");
  const b = right.replaceAll("/", "\0");
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A byte string as ASCII, for people: what is not printable is shown as `\xNN`. */
export function displayBytes(bytes: string): string {
  // oxlint-disable-next-line no-control-regex
  return bytes.replaceAll(/[^\x20-\x5b\x5d-\x7e]/g, (character) => {
    if (character === "\\") return "\\\\";
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
