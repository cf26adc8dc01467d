/*
 * dm-verity as veritysetup lays it out. Facts from Linux: Documentation/admin-guide/device-mapper/verity.rst, and from cryptsetup's
 * wiki, "DMVerity", "On-disk format".
 *
 *  +-------------+------------------------+-----------+----------+-----+-----------------+
 *  | data blocks | superblock, zeros to a | top level | next     | ... | digests of data |
 *  |             | block: the hash offset |           |          |     |                 |
 *  +-------------+------------------------+-----------+----------+-----+-----------------+
 *
 * A block of a level holds the digests of 128 blocks of the level below, the last padded with zeros. A digest is the SHA-256 of the salt and a block
 * (hash type 1); the root hash is that of the top level's one block. Numbers are little-endian.
 */

export const BLOCK_BYTES = 4096;
export const DIGEST_BYTES = 32;
export const DIGESTS_PER_BLOCK: number = BLOCK_BYTES / DIGEST_BYTES;

export const SIGNATURE = "verity";
export const VERSION = 1;
export const HASH_TYPE = 1;
export const ALGORITHM = "sha256";

/** The superblock's fields, by their first byte. */
export const SUPERBLOCK = {
  signature: 0,
  version: 8,
  hashType: 12,
  uuid: 16,
  algorithm: 32,
  dataBlockBytes: 64,
  hashBlockBytes: 68,
  dataBlocks: 72,
  saltLength: 80,
  salt: 88,
} as const;
