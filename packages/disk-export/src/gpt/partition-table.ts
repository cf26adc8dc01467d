import zlib from "node:zlib";

import { writeByteString, writeInt64 } from "../byte-layout.js";
import {
  ENTRIES_SECTORS,
  ENTRY_BYTES,
  ENTRY_COUNT,
  HEAD_SECTORS,
  HEADER_BYTES,
  REVISION,
  SECTOR_BYTES,
  SIGNATURE,
  TAIL_SECTORS,
} from "./layout.js";

const UINT32_MAX = 0xffffffff;

export interface PartitionTable {
  /** Of the whole disk, as is all else in sectors of 512 bytes. */
  readonly sectorCount: number;
  readonly diskUuid: Uint8Array;
  readonly partition: {
    readonly typeUuid: Uint8Array;
    readonly uuid: Uint8Array;
    readonly startSector: number;
    readonly sectorCount: number;
    /** Bits 32 to 63 of the attributes. */
    readonly flags: number;
    /** At most 36 characters. */
    readonly name: string;
  };
}

/** What comes before the partitions: protective MBR, header, entries. */
export function encodeHead(table: PartitionTable): Uint8Array {
  const bytes = new Uint8Array(HEAD_SECTORS * SECTOR_BYTES);
  bytes.set(encodeProtectiveMbr(table.sectorCount));
  const entries = encodeEntries(table);
  bytes.set(encodeHeader(table, entries, { own: 1, other: table.sectorCount - 1, entriesAt: 2 }), SECTOR_BYTES);
  bytes.set(entries, 2 * SECTOR_BYTES);
  return bytes;
}

/** The disk's last sectors: entries and header once more. */
export function encodeTail(table: PartitionTable): Uint8Array {
  const { sectorCount } = table;
  const bytes = new Uint8Array(TAIL_SECTORS * SECTOR_BYTES);
  const entries = encodeEntries(table);
  bytes.set(entries);
  const place = { own: sectorCount - 1, other: 1, entriesAt: sectorCount - TAIL_SECTORS };
  bytes.set(encodeHeader(table, entries, place), ENTRIES_SECTORS * SECTOR_BYTES);
  return bytes;
}

function encodeProtectiveMbr(sectorCount: number): Uint8Array {
  const sector = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(sector.buffer);
  // One partition of type 0xEE over the whole disk, in the old geometry from 0/0/2 to the end of what that can say.
  sector.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(sectorCount - 1, UINT32_MAX), true);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function encodeEntries({ partition }: PartitionTable): Uint8Array {
  const bytes = new Uint8Array(ENTRY_COUNT * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(asGuid(partition.typeUuid), 0);
  bytes.set(asGuid(partition.uuid), 16);
  writeInt64(view, 32, partition.startSector);
  writeInt64(view, 40, partition.startSector + partition.sectorCount - 1);
  view.setUint32(52, partition.flags, true);
  for (let index = 0; index < partition.name.length; index++)
    view.setUint16(56 + 2 * index, partition.name.charCodeAt(index), true);
  return bytes;
}

function encodeHeader(
  { sectorCount, diskUuid }: PartitionTable,
  entries: Uint8Array,
  { own, other, entriesAt }: { own: number; other: number; entriesAt: number },
): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  writeByteString(SIGNATURE, header, 0);
  view.setUint32(8, REVISION, true);
  view.setUint32(12, HEADER_BYTES, true);
  writeInt64(view, 24, own);
  writeInt64(view, 32, other);
  writeInt64(view, 40, HEAD_SECTORS);
  writeInt64(view, 48, sectorCount - TAIL_SECTORS - 1);
  header.set(asGuid(diskUuid), 56);
  writeInt64(view, 72, entriesAt);
  view.setUint32(80, ENTRY_COUNT, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, zlib.crc32(entries), true);
  view.setUint32(16, zlib.crc32(header), true);
  return header;
}

/** A UUID in the byte order of a GUID. */
function asGuid(uuid: Uint8Array): Uint8Array {
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((index) => uuid[index]!);
  return Uint8Array.of(...swapped, ...uuid.subarray(8));
}
