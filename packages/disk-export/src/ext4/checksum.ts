import { crc32c, crc32cWord } from "../crc32c.js";

/** What every sum of a file system starts from (`metadata_csum` without `metadata_csum_seed`). */
export function checksumSeed(uuid: Uint8Array): number {
  return crc32c(0xffffffff, uuid);
}

/** Goes on with a 32-bit number. */
export function checksumNumber(seed: number, value: number): number {
  return crc32cWord(seed, value);
}

/** Goes on with a 64-bit number. */
export function checksumWideNumber(seed: number, value: number): number {
  return crc32cWord(crc32cWord(seed, value % 2 ** 32), Math.floor(value / 2 ** 32));
}

/** What the sums of an inode, its directory blocks and its extent blocks start from: its number, then its generation, 0. */
export function inodeChecksumSeed(seed: number, inodeNumber: number): number {
  return checksumNumber(checksumNumber(seed, inodeNumber), 0);
}
