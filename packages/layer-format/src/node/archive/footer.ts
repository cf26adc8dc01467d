import { isDigest, type Digest } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import {
  DIFF_ID_BYTES,
  FOOTER_BYTES,
  HASH_BYTES,
  HEADER_BYTES,
  MAGIC,
  PAGE_BYTES,
  PAYLOAD_BYTES,
  RECORD_BYTES,
  VERSION,
} from "./layout.js";

/** What an archive says of itself as a whole. */
export interface ArchiveSummary {
  /** The digest of the uncompressed tar. */
  readonly diffID: Digest;
  /** What the layer says, whatever its tar looks like: SHA-256, see docs/layer-archive.md. */
  readonly layerHash: Digest;
  readonly entryCount: number;
  readonly contentsBytes: number;
  readonly tarBytes: number;
}

export interface ArchiveFooter extends ArchiveSummary {
  readonly bodiesBytes: number;
}

/** Where the sections of an index are, in its payload, and how many pages it has. */
export interface IndexPlaces {
  readonly bodies: number;
  readonly hashes: number;
  readonly records: number;
  /** Where the last section ends: zeros fill its page. */
  readonly end: number;
  readonly pages: number;
}

export function indexPlaces(entryCount: number, bodiesBytes: number): IndexPlaces {
  const hashes = HEADER_BYTES + bodiesBytes;
  const records = hashes + HASH_BYTES * entryCount;
  const end = records + RECORD_BYTES * entryCount;
  return { bodies: HEADER_BYTES, hashes, records, end, pages: Math.ceil(end / PAYLOAD_BYTES) + 1 };
}

export function encodeHeader(): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, "latin1");
  header.writeUInt32LE(VERSION, 8);
  return header;
}

/** @throws {LayerFormatError} `archive_invalid` */
export function checkHeader(start: Buffer): void {
  if (start.toString("latin1", 0, MAGIC.length) !== MAGIC) invalidIndex("it does not begin with the magic of one");
  const version = start.readUInt32LE(8);
  if (version !== VERSION) {
    invalidIndex(
      `its version is ${version}, not ${VERSION}: remove the archive, which is a cache, and make it again from the layer`,
    );
  }
}

export function encodeFooter(footer: ArchiveFooter): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.writeBigUInt64LE(BigInt(footer.entryCount), 0);
  bytes.writeBigUInt64LE(BigInt(footer.bodiesBytes), 8);
  bytes.writeBigUInt64LE(BigInt(footer.contentsBytes), 16);
  bytes.writeBigUInt64LE(BigInt(footer.tarBytes), 24);
  if (bytes.write(footer.diffID, 32, DIFF_ID_BYTES, "latin1") !== footer.diffID.length)
    throw new RangeError("cannot encode the diffID: too long");
  bytes.write(footer.layerHash.slice("sha256:".length), 32 + DIFF_ID_BYTES, "hex");
  return bytes;
}

/**
 * @param page - the payload of the last page
 * @param fileBytes - the size of idx, which its counts have to make up exactly
 * @throws {LayerFormatError} `archive_invalid`
 */
export function decodeFooter(page: Buffer, fileBytes: number): ArchiveFooter {
  const numberAt = (at: number): number => {
    const value = Number(page.readBigUInt64LE(at));
    return Number.isSafeInteger(value) ? value : invalidIndex("a number of its footer is too large");
  };
  const [entryCount, bodiesBytes, contentsBytes, tarBytes] = [numberAt(0), numberAt(8), numberAt(16), numberAt(24)];
  const { pages } = indexPlaces(entryCount, bodiesBytes);
  if (pages * PAGE_BYTES !== fileBytes) {
    invalidIndex(`it has ${fileBytes} bytes, not those of ${entryCount} entries in ${bodiesBytes}`);
  }
  const diffID = page.toString("latin1", 32, 32 + DIFF_ID_BYTES).replace(/\0+$/, "");
  if (!isDigest(diffID)) invalidIndex("its diffID is none");
  const layerHash: Digest = `sha256:${page.toString("hex", 32 + DIFF_ID_BYTES, FOOTER_BYTES)}`;
  return { diffID, layerHash, entryCount, bodiesBytes, contentsBytes, tarBytes };
}

export function invalidIndex(state: string): never {
  throw new LayerFormatError("archive_invalid", `cannot read the index: ${state}`);
}
