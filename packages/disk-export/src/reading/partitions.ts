import { crc32 } from "node:zlib";

import type { CallOptions } from "@lamella/refs";

import { diskInvalid, isInside, readWide, viewOf } from "./metadata.js";
import { readBytes, sliceSource } from "./source.js";
import type { DiskSource } from "./source.js";

/* A GUID partition table (UEFI 2.10, 5.3). Its header is in the second sector, its entries where that says. */
const SECTOR_SIZES = [512, 4096];
const SIGNATURE = "EFI PART";
const HEADER_BYTES = 92;
const HEADER = {
  bytes: 12,
  checksum: 16,
  entriesSector: 72,
  entryCount: 80,
  entryBytes: 84,
  entriesChecksum: 88,
} as const;
const ENTRY = { type: 0, firstSector: 32, lastSector: 40 } as const;
const ENTRY_BYTES_MIN = 128;
const TABLE_BYTES_MAX = 1 << 20;

/**
 * The partitions that a disk's table names, in its order; undefined where there is no table.
 * @throws {DiskExportError} `disk_invalid` where the table is damaged
 */
export async function readPartitions(source: DiskSource, options: CallOptions = {}): Promise<DiskSource[] | undefined> {
  for (const sectorBytes of SECTOR_SIZES) {
    if (!isInside(source.sizeBytes, sectorBytes, HEADER_BYTES)) continue;
    const header = await readBytes(source, sectorBytes, HEADER_BYTES, options);
    if (new TextDecoder().decode(header.subarray(0, SIGNATURE.length)) === SIGNATURE)
      return readEntries(source, { header, sectorBytes, ...options });
  }
  return undefined;
}

async function readEntries(
  source: DiskSource,
  { header, sectorBytes, ...options }: CallOptions & { header: Uint8Array; sectorBytes: number },
): Promise<DiskSource[]> {
  const view = viewOf(header);
  const blank = Uint8Array.from(header);
  blank.fill(0, HEADER.checksum, HEADER.checksum + 4);
  if (view.getUint32(HEADER.bytes, true) !== HEADER_BYTES || crc32(blank) !== view.getUint32(HEADER.checksum, true))
    throw damaged("its header's checksum is wrong");
  const count = view.getUint32(HEADER.entryCount, true);
  const entryBytes = view.getUint32(HEADER.entryBytes, true);
  const start = readWide(view, HEADER.entriesSector) * sectorBytes;
  if (entryBytes < ENTRY_BYTES_MIN || count * entryBytes > TABLE_BYTES_MAX)
    throw damaged(`${count} entries of ${entryBytes} bytes`);
  if (!isInside(source.sizeBytes, start, count * entryBytes)) throw damaged("its entries are not on the disk");
  const table = await readBytes(source, start, count * entryBytes, options);
  if (crc32(table) !== view.getUint32(HEADER.entriesChecksum, true)) throw damaged("its entries' checksum is wrong");

  const partitions: DiskSource[] = [];
  for (let at = 0; at < table.length; at += entryBytes) {
    const entry = viewOf(table.subarray(at, at + entryBytes));
    if (readWide(entry, ENTRY.type) === 0 && readWide(entry, ENTRY.type + 8) === 0) continue;
    const first = readWide(entry, ENTRY.firstSector);
    const sizeBytes = (readWide(entry, ENTRY.lastSector) - first + 1) * sectorBytes;
    if (!isInside(source.sizeBytes, first * sectorBytes, sizeBytes)) throw damaged("a partition is not on the disk");
    partitions.push(sliceSource(source, first * sectorBytes, sizeBytes));
  }
  return partitions;
}

function damaged(state: string): Error {
  return diskInvalid("GPT", "partition table", state);
}
