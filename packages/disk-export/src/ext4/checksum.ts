import { crc32c } from "../crc32c.js";

const number = new DataView(new ArrayBuffer(8));
const numberBytes = new Uint8Array(number.buffer);

/** What every sum of a file system starts from (`metadata_csum` without `metadata_csum_seed`). */
export function checksumSeed(uuid: Uint8Array): number {
  return crc32c(0xffffffff, uuid);
}

/** Goes on with a 32-bit number. */
export function checksumNumber(seed: number, value: number): number {
  number.setUint32(0, value, true);
  return crc32c(seed, numberBytes, 0, 4);
}

/** Goes on with a 64-bit number. */
export function checksumWideNumber(seed: number, value: number): number {
  number.setUint32(0, value % 2 ** 32, true);
  number.setUint32(4, Math.floor(value / 2 ** 32), true);
  return crc32c(seed, numberBytes);
}

/** What the sums of an inode, its directory blocks and its extent blocks start from: its number, then its generation, 0. */
export function inodeChecksumSeed(seed: number, inodeNumber: number): number {
  return checksumNumber(checksumNumber(seed, inodeNumber), 0);
}
