import type { SpanKind } from "./plain-index.js";

/*
 * An index in a file. Numbers are little-endian; sections follow each other without a gap.
 *
 *   +-----------+---------------+------------------------+-----------+----------+
 *   | header    | spans         | beginnings             | heads     | SHA-256  |
 *   | 312 bytes | 50 bytes each | prefix and window of   | gzip, see | of all   |
 *   |           |               | each span, in order    | TarHeads  | before   |
 *   +-----------+---------------+------------------------+-----------+----------+
 *
 *   header  magic 8 | version u32 | spans u32 | blob's bytes u64 | tar's bytes u64 | heads' bytes u64 | blob's digest 136 | diffID 136
 *   span    blob offset u64 | length u32 | prefix's bytes u16 | window's bytes u16 | kind u8 | bit u8 | SHA-256 32
 *
 * Everything else about a span follows from its neighbours. Digests are text, filled up with zeros.
 */

export const INDEX_MAGIC = "LAMPLAIN";
export const INDEX_VERSION = 1;
export const DIGEST_BYTES = 136;
export const HEADER_BYTES: number = 40 + 2 * DIGEST_BYTES;
export const SPAN_RECORD_BYTES = 50;
export const CHECKSUM_BYTES = 32;

/** The largest index that is written or read: that of a gzip layer of some 75 GiB of tar. */
export const MAX_INDEX_BYTES: number = 512 * 2 ** 20;
/** Spans of one layer: those of a plain tar of 256 GiB. */
export const MAX_SPANS: number = 2 ** 20;
/** Of a span's prefix: a block's header and what brings it to its place in a byte. */
export const MAX_PREFIX_BYTES = 700;

/** A kind's number is its place here. */
export const SPAN_KINDS: readonly SpanKind[] = ["none", "gzip", "deflate", "zstd"];
