import { inflateRawSync } from "node:zlib";
import * as zlib from "node:zlib";

import { decodeLz4 } from "./lz4-decoder.js";

const PLAIN = 0;
const HEAD = 1;
const NONHEAD = 2;

interface Slot {
  type: number;
  value: number;
  /** The pack that it is in, its place there, and how many places there are. */
  pack: number;
  place: number;
  places: number;
  base: number;
}

/**
 * Reads a compressed file back through the compact index that starts after `headEnd`, and throws where the index contradicts itself: every
 * distance is checked, and each extent's length is the one that its neighbours tell.
 */
export function readCompressedData(image: Buffer, headEnd: number, size: number): { data: Buffer; blocks: number } {
  const header = Math.ceil(headEnd / 8) * 8;
  expectThat(image.readUInt32LE(header) === 0, "no inline data");
  expectThat(image.readUInt16LE(header + 4) === 7, "the advice");
  expectThat(image.readUInt8(header + 7) === 0, "clusters of 4 KiB");
  const algorithm = image.readUInt8(header + 6);
  const slots = readSlots(image, header + 8, Math.ceil(size / 4096));

  const heads = slots.flatMap(({ type }, cluster) => (type === NONHEAD ? [] : [cluster]));
  expectThat(heads[0] === 0, "a beginning at 0");
  const parts: Buffer[] = [];
  let blocks = 0;
  for (const [index, cluster] of heads.entries()) {
    const start = cluster * 4096 + slots[cluster]!.value;
    if (start === size) continue;
    const next = heads[index + 1];
    const end = next === undefined ? size : next * 4096 + slots[next]!.value;
    const count = checkDistances(slots, cluster, next ?? slots.length);
    const from = blockOf(slots, cluster) * 4096;
    const bytes = image.subarray(from, from + count * 4096);
    expectThat(bytes.length === count * 4096, "blocks within the disk");
    parts.push(slots[cluster]!.type === PLAIN ? plain(bytes, end - start) : unpack(algorithm, bytes, end - start));
    blocks += count;
  }
  return { data: Buffer.concat(parts), blocks };
}

function readSlots(image: Buffer, start: number, count: number): Slot[] {
  const slots: Slot[] = [];
  const border = Math.ceil(start / 32) * 32;
  let at = start;
  for (let pack = 0; slots.length < count; pack++) {
    const large = at >= border && count - slots.length >= 16;
    const [places, bytes, bits] = large ? [16, 32, 14] : [2, 8, 16];
    let number = 0n;
    for (let index = bytes - 5; index >= 0; index--) number = (number << 8n) | BigInt(image.readUInt8(at + index));
    const base = image.readUInt32LE(at + bytes - 4);
    for (let place = 0; place < places && slots.length < count; place++) {
      const entry = Number((number >> BigInt(bits * place)) & 0x3fffn);
      slots.push({ type: entry >> 12, value: entry & 0xfff, pack, place, places, base });
    }
    at += bytes;
  }
  return slots;
}

/** Of one extent; the result is how many blocks it has. */
function checkDistances(slots: readonly Slot[], head: number, next: number): number {
  let count = 1;
  for (let cluster = head + 1; cluster < next; cluster++) {
    const { value, place, places } = slots[cluster]!;
    if (cluster === head + 1) {
      expectThat((value & 0x800) !== 0 && slots[head]!.type === HEAD, "a count of blocks after a beginning");
      count = value & 0x7ff;
    } else if (place === places - 1) {
      expectThat(value === next - cluster, "a distance ahead");
    } else {
      expectThat(value === cluster - head, "a distance back");
    }
  }
  return count;
}

/** The pack's base, and the blocks of the extents that it tells of before this one. */
function blockOf(slots: readonly Slot[], head: number): number {
  const { pack, base } = slots[head]!;
  let block = base;
  for (let cluster = head - 1; cluster >= 0 && slots[cluster]!.pack === pack; cluster--) {
    const { type, value } = slots[cluster]!;
    const after = slots[cluster + 1];
    const counted = after !== undefined && after.type === NONHEAD && (after.value & 0x800) !== 0;
    if (type === NONHEAD) block += (value & 0x800) !== 0 ? value & 0x7ff : 0;
    else if (!counted) block += 1;
  }
  return block;
}

function plain(bytes: Buffer, length: number): Buffer {
  expectThat(length <= 4096, "an uncompressed extent in one block");
  expectThat(
    bytes.subarray(length).every((byte) => byte === 0),
    "zeros after an uncompressed extent",
  );
  return bytes.subarray(0, length);
}

function unpack(algorithm: number, bytes: Buffer, length: number): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  expectThat(start >= 0 && start < 4096, "zeros in the first block at most");
  const packed = bytes.subarray(start);
  const data = Buffer.from(
    algorithm === 0 ? decodeLz4(packed) : algorithm === 2 ? inflateRawSync(packed) : zstdDecompress(packed),
  );
  expectThat(data.length === length, "an extent's length");
  return data;
}

function zstdDecompress(packed: Buffer): Buffer {
  const { zstdDecompressSync } = zlib as unknown as { zstdDecompressSync: (bytes: Buffer) => Buffer };
  return zstdDecompressSync(packed);
}

function expectThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`the disk is wrong: ${what}`);
}
