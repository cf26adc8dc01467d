/*
 * An eStargz layer (stargz-snapshotter, docs/estargz.md) is a gzip stream of members:
 *
 *     | headers | data of a chunk, padding, headers | data of a chunk, … | TOC as a tar entry, end of the tar | footer |
 *               ^ offset                            ^ offset             ^ TOC offset
 *
 * The footer is an empty member with an extra field (RFC 1952, section 2.3.1.1):
 *
 *     51 bytes   1f 8b 08 04 0000'0000 00 ff | 1a 00 | "SG" 16 00 | 16 hex digits of the TOC offset "STARGZ" | 01 0000 ffff | 8 zeros
 *     47 bytes   the same without "SG" 16 00: stargz, its forerunner
 *     46 bytes   "SG" 11 00 "STARGZEXTERNALTOC": the TOC is elsewhere
 *
 * A zstd:chunked layer (containers/storage, pkg/chunked) is a zstd stream of frames that ends in skippable ones:
 *
 *     | frames | skippable: TOC | skippable: tar-split (newer ones) | skippable: footer |
 *
 * The footer's body, in little-endian numbers of eight bytes, is 40 bytes long in stargz-snapshotter, 56 or 64 in containers/storage:
 *
 *     TOC offset | TOC bytes | TOC bytes unpacked | type 1 | tar-split offset, bytes, bytes unpacked… | "GnUlInUx" or "GNUlInUx"
 */

export const TOC_NAME = "stargz.index.json";
export const PREFETCH_LANDMARK = ".prefetch.landmark";
export const NO_PREFETCH_LANDMARK = ".no.prefetch.landmark";
export const LANDMARK_CONTENTS = 0x0f;

export const TOC_DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest";
export const UNCOMPRESSED_SIZE_ANNOTATION = "io.containers.estargz.uncompressed-size";
/** stargz-snapshotter's names, then those of containers/storage. */
export const CHUNKED_CHECKSUM_ANNOTATIONS: readonly string[] = [
  "io.containers.zstd-chunked.manifest-checksum",
  "io.github.containers.zstd-chunked.manifest-checksum",
];
export const CHUNKED_POSITION_ANNOTATIONS: readonly string[] = [
  "io.containers.zstd-chunked.manifest-position",
  "io.github.containers.zstd-chunked.manifest-position",
];

export const STARGZ_MAGIC = "STARGZ";
export const EXTERNAL_MAGIC = "STARGZEXTERNALTOC";
export const OFFSET_DIGITS = 16;
export const FOOTER_BYTES = 51;
export const LEGACY_FOOTER_BYTES = 47;
export const EXTERNAL_FOOTER_BYTES = 46;

export const CHUNKED_MAGICS: readonly string[] = ["GNUlInUx", "GnUlInUx"];
export const CHUNKED_FOOTER_BYTES: readonly number[] = [40, 48, 56, 64];
export const SKIPPABLE_HEADER_BYTES = 8;
export const SKIPPABLE_MAGIC = 0x184d2a50;
/** The only type of manifest that there is. */
export const CHUNKED_TYPE = 1;

/** A table of contents, packed or not: as large as containers/storage took it at first, ten times what a large layer needs. */
export const MAX_TOC_BYTES: number = 50 * 2 ** 20;

/**
 * A TOC's names are text, a tar's are bytes. Where a name is not UTF-8 Lamella writes what Go would write, with U+FFFD, and the name
 * itself in Base64 under these keys, which other readers skip.
 */
export const EXACT_NAME = "lamellaName";
export const EXACT_LINK_NAME = "lamellaLinkName";
export const EXACT_XATTRS = "lamellaXattrs";
