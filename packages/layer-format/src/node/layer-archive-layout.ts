import type { LayerEntryKind } from "../layer.js";

/*
 * A layer archive is a directory with two files.
 *
 *   contents   the data of the layer's files, one after the other in the tar's order, without padding and without holes
 *   idx        everything else
 *
 * idx, numbers of fixed width in little-endian order:
 *
 *    0 +-------------------------+
 *      | "LAMELLA" NUL           |  8
 *      | version                 |  4
 *      | zero                    |  4
 *   16 +-------------------------+
 *      | entries, back to back:  |
 *      |   length of the body    |  v
 *      |   body                  |
 *      +-------------------------+  size - 192
 *      | number of entries       |  8
 *      | bytes of contents       |  8
 *      | bytes of the tar        |  8
 *      | diffID, padded with NUL |  136
 *      | SHA-256 of all before   |  32
 *      +-------------------------+
 *
 * A body, where v is an unsigned LEB128 below 2^53, z one that is zigzagged, and b a length (v) and as many bytes:
 *
 *   kind 1, path b, mode v, uid v, gid v, seconds z, nanoseconds v
 *   a file:              size v, offset in contents v, extents + 1 or 0 for none v, each: gap since the last one's end v, length v
 *   a symlink, hardlink: target b
 *   a char, a block:     major v, minor v
 *   xattrs v, each: name b, value b
 *
 * The lengths let a reader skip what it does not know; the totals stand at the end so that one pass can write the file.
 */

export const INDEX_NAME = "idx";
export const CONTENTS_NAME = "contents";

export const MAGIC = "LAMELLA\0";
export const VERSION = 1;
export const HEADER_BYTES = 16;

export const DIFF_ID_BYTES = 136;
export const CHECKSUM_BYTES = 32;
export const FOOTER_BYTES: number = 24 + DIFF_ID_BYTES + CHECKSUM_BYTES;

/** A kind's number in idx is its place here. */
export const KINDS: readonly LayerEntryKind[] = [
  "file",
  "directory",
  "symlink",
  "char",
  "block",
  "fifo",
  "socket",
  "hardlink",
  "whiteout",
  "opaque",
];
