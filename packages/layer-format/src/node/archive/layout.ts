import type { LayerEntryKind } from "../../layer.js";

/*
 * A layer archive is a directory with two files; docs/layer-archive.md has every field.
 *
 *   contents   the data of the layer's files, one after the other in the tar's order, without padding and without holes
 *   idx        everything else, in pages of 4096 bytes that each end with a CRC-32
 *
 *   idx   +----------+---------------------+--------------------+---------------------+------+--------+
 *         | header   | bodies              | content hashes     | records             | zero | footer |
 *         | 16 bytes | in the tar's order  | 32 bytes an entry  | 24 bytes an entry,  | fill | one    |
 *         |          | length and body     | in the tar's order | in canonical order  |      | page   |
 *         +----------+---------------------+--------------------+---------------------+------+--------+
 *
 * Places inside idx are counted in the pages' payload, as if there were no checksums. The footer stands at the end so that its
 * sizes, with that of the file, prove every other place.
 */

export const INDEX_NAME = "idx";
export const CONTENTS_NAME = "contents";

export const MAGIC = "LAMELLA\0";
export const VERSION = 2;
export const HEADER_BYTES = 16;

export const PAGE_BYTES = 4096;
/** What a page holds besides its checksum. */
export const PAYLOAD_BYTES: number = PAGE_BYTES - 4;

export const HASH_BYTES = 32;
/** Place of the body u64, place of the data u64, length of the body u32, position u32. */
export const RECORD_BYTES = 24;

export const DIFF_ID_BYTES = 136;
/** Four numbers u64, the diffID, the layer hash. */
export const FOOTER_BYTES: number = 32 + DIFF_ID_BYTES + HASH_BYTES;

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

/** Where among the entries of one path a kind stands in canonical order: what there is, then what is removed. */
export function kindRank(kind: LayerEntryKind): number {
  return kind === "opaque" ? 2 : kind === "whiteout" ? 1 : 0;
}
