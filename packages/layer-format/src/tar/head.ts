import { byteStringToBytes } from "../byte-string.js";
import type { LayerEntry } from "../layer.js";
import { encodePaxRecords } from "./pax-writer.js";
import type { SparsePlan } from "./sparse-writer.js";
import {
  BLOCK_BYTES,
  CHECKSUM,
  DEVICE_MAJOR,
  DEVICE_MINOR,
  type Field,
  GID,
  LINK_NAME,
  MAGIC_AT,
  MODE,
  MTIME,
  NAME,
  SIZE,
  TYPE,
  TYPE_AT,
  UID,
  USTAR_MAGIC,
} from "./layout.js";
import { type PlainHeader, planEntry, type TarPlan } from "./plan.js";

/** An entry to plan: what a tar says of it, without its contents. */
export type TarEntryInput = Omit<LayerEntry, "contentOffset">;

/** A file's bytes in a tar. */
export interface TarData {
  /** From the entry's first byte. */
  readonly offset: number;
  readonly fileOffset: number;
  readonly length: number;
}

/** Where the bytes of an entry lie in a tar: a head, then data, with zeros for what is neither. */
export interface TarEntryPlan {
  /** Extended header, header, and a sparse file's map. */
  readonly headBytes: number;
  readonly data: readonly TarData[];
  /** All of the entry, whole blocks of 512. */
  readonly sizeBytes: number;
  encodeHead(): Uint8Array;
}

const TYPES: Readonly<Record<PlainHeader["type"], number>> = {
  file: TYPE.file,
  link: TYPE.hardlink,
  symlink: TYPE.symlink,
  "character-device": TYPE.char,
  "block-device": TYPE.block,
  directory: TYPE.directory,
  fifo: TYPE.fifo,
};
const OCTAL_SIZE_MAX = 8 ** 11 - 1;

/**
 * Plans one entry of a tar, the bytes that {@link writeTar} gives: for who has to know where they lie before there are any.
 * After the last entry come 1,024 zeros.
 *
 * @throws {LayerFormatError} `layer_invalid` for an entry that no layer's tar can hold
 */
export function planTarEntry(entry: TarEntryInput): TarEntryPlan {
  const plan = planEntry(entry);
  const pax = plan.records.length === 0 ? undefined : encodePaxRecords(plan.records);
  const paxBytes = pax === undefined ? 0 : BLOCK_BYTES + wholeBlocks(pax.length);
  const map = plan.sparse?.map;
  const bodyAt = paxBytes + BLOCK_BYTES;
  return {
    headBytes: bodyAt + (map?.length ?? 0),
    data: placeData(entry, plan, bodyAt),
    sizeBytes: bodyAt + wholeBlocks(plan.header.size),
    encodeHead() {
      const head = new Uint8Array(bodyAt + (map?.length ?? 0));
      if (pax !== undefined) {
        encodeHeader({ type: TYPE.pax, name: "PaxHeader", mode: 0o644, size: pax.length }, head, 0);
        head.set(pax, BLOCK_BYTES);
      }
      const { header } = plan;
      const mtimeSeconds = header.mtime.getTime() / 1000;
      encodeHeader({ ...header, mtimeSeconds, type: TYPES[header.type] }, head, paxBytes);
      if (map !== undefined) head.set(map, bodyAt);
      return head;
    },
  };
}

function placeData(entry: TarEntryInput, { dataBytes, sparse }: TarPlan, bodyAt: number): TarData[] {
  if (dataBytes === 0) return [];
  if (sparse === undefined) return [{ offset: bodyAt, fileOffset: 0, length: dataBytes }];
  return placeExtents(entry, sparse, bodyAt);
}

function placeExtents({ extents = [] }: TarEntryInput, { map, runs }: SparsePlan, bodyAt: number): TarData[] {
  let at = bodyAt + map.length;
  return extents.map(({ offset: fileOffset, length }, index) => {
    const offset = at + (runs[2 * index] ?? 0);
    at = offset + length;
    return { offset, fileOffset, length };
  });
}

interface HeaderFields extends Partial<Omit<PlainHeader, "type" | "mtime">> {
  readonly type: number;
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly mtimeSeconds?: number;
}

function encodeHeader(fields: HeaderFields, target: Uint8Array, at: number): void {
  const { name, linkname = "", mode, uid = 0, gid = 0, size, mtimeSeconds = 0, type } = fields;
  const block = target.subarray(at, at + BLOCK_BYTES);
  putText(block, NAME.at, name);
  putOctal(block, MODE, mode & 0o7777);
  putOctal(block, UID, uid);
  putOctal(block, GID, gid);
  putSize(block, size);
  putOctal(block, MTIME, mtimeSeconds);
  block[TYPE_AT] = type;
  putText(block, LINK_NAME.at, linkname);
  putText(block, MAGIC_AT, `${USTAR_MAGIC}00`);
  putOctal(block, DEVICE_MAJOR, fields.devmajor ?? 0);
  putOctal(block, DEVICE_MINOR, fields.devminor ?? 0);
  block.fill(0x20, CHECKSUM.at, CHECKSUM.at + CHECKSUM.length);
  let sum = 0;
  for (const byte of block) sum += byte;
  block[CHECKSUM.at + CHECKSUM.length - 1] = 0;
  putOctal(block, CHECKSUM, sum);
}

/** Digits and a space, which in all fields but the size and the time is followed by a NUL. */
function putOctal(block: Uint8Array, { at, length }: Field, value: number): void {
  const digits = length === SIZE.length ? length - 1 : length - 2;
  putText(block, at, `${value.toString(8).padStart(digits, "0")} `);
}

/** A size over eleven octal digits is binary, big-endian, with the first bit set. */
function putSize(block: Uint8Array, size: number): void {
  if (size <= OCTAL_SIZE_MAX) {
    putOctal(block, SIZE, size);
    return;
  }
  const { at, length } = SIZE;
  const view = new DataView(block.buffer, block.byteOffset + at, length);
  view.setUint32(0, 0x80000000);
  view.setBigUint64(length - 8, BigInt(size));
}

function putText(block: Uint8Array, at: number, text: string): void {
  block.set(byteStringToBytes(text), at);
}

function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
