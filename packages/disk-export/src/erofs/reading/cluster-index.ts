import { alignUp } from "../../byte-layout.js";
import { viewOf } from "../../reading/metadata.js";

const TYPE_PLAIN = 0;
const TYPE_NONHEAD = 2;
const FULL_ENTRY_BYTES = 8;
const PARTIAL_FLAG = 0x8000;
/** In the entry after a beginning: it counts the extent's blocks. */
const BLOCK_COUNT_FLAG = 0x800;
const TYPE_BITS_MIN = 12;
const LARGE_PACK_CLUSTER_BITS = 12;

const ADVISE = { compact2: 0x1, bigClusters: [0x2, 0x4] } as const;

/** The index of a compressed file, as its map header describes it. */
export interface IndexForm {
  readonly isCompact: boolean;
  readonly advise: number;
  readonly clusterBits: number;
  readonly blockBits: number;
  readonly size: number;
  /** Where the first entry is, in bytes of the disk. */
  readonly start: number;
}

/**
 * The extents of a file, each in one place of every array. What an extent has on the disk begins at a block and is whole blocks; its
 * bytes in the file go up to the next one's.
 */
export interface ErofsExtents {
  readonly count: number;
  readonly starts: Float64Array;
  readonly blocks: Uint32Array;
  readonly blockCounts: Uint16Array;
  /** 0 plain, 1 and 3 the first and the second algorithm. */
  readonly types: Uint8Array;
  readonly partial: Uint8Array;
}

interface Pack {
  readonly entries: 1 | 2 | 16;
  readonly bytes: number;
}

/** How many bytes the index has. */
export function indexBytes(form: IndexForm): number {
  let bytes = 0;
  for (const pack of packsOf(form)) bytes += pack.bytes;
  return bytes;
}

/** Decodes an index; undefined where it contradicts itself. */
export function decodeIndex(form: IndexForm, bytes: Uint8Array): ErofsExtents | undefined {
  const clusterBytes = 2 ** form.clusterBits;
  const clusters = Math.ceil(form.size / clusterBytes);
  const extents = {
    starts: new Float64Array(clusters),
    blocks: new Uint32Array(clusters),
    blockCounts: new Uint16Array(clusters),
    types: new Uint8Array(clusters),
    partial: new Uint8Array(clusters),
  };
  let count = 0;
  let previousIsHead = false;
  let cluster = 0;
  for (const entry of form.isCompact ? compactEntries(form, bytes) : fullEntries(bytes)) {
    if (cluster >= clusters) break;
    const { type, value } = entry;
    if (type === TYPE_NONHEAD) {
      if (count === 0) return undefined;
      if (previousIsHead && hasBigClusters(form, extents.types[count - 1]!)) {
        if ((value & BLOCK_COUNT_FLAG) === 0) return undefined;
        extents.blockCounts[count - 1] = value & ~BLOCK_COUNT_FLAG;
      }
      previousIsHead = false;
    } else {
      const start = cluster * clusterBytes + value;
      if (value >= clusterBytes || (count === 0 && start !== 0)) return undefined;
      previousIsHead = start < form.size;
      if (previousIsHead) {
        extents.starts[count] = start;
        extents.types[count] = type;
        extents.blocks[count] = entry.block;
        extents.blockCounts[count] = clusterBytes / 2 ** form.blockBits;
        extents.partial[count] = entry.isPartial ? 1 : 0;
        count += 1;
      }
    }
    cluster += 1;
  }
  return cluster < clusters ? undefined : { count, ...extents };
}

/** The one in which a byte of the file is. */
export function findExtent({ starts, count }: ErofsExtents, offset: number): number {
  let low = 0;
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle;
  }
  return low;
}

interface IndexEntry {
  readonly type: number;
  /** Of a beginning its byte in the cluster, of any other how far away one is, or the flag and the extent's blocks. */
  readonly value: number;
  readonly block: number;
  readonly isPartial: boolean;
}

function hasBigClusters({ advise }: IndexForm, type: number): boolean {
  if (type === TYPE_PLAIN) return false;
  return (advise & ADVISE.bigClusters[type === 1 ? 0 : 1]) !== 0;
}

function* fullEntries(bytes: Uint8Array): Generator<IndexEntry> {
  const view = viewOf(bytes);
  for (let at = 0; at + FULL_ENTRY_BYTES <= bytes.length; at += FULL_ENTRY_BYTES) {
    const advise = view.getUint16(at, true);
    const type = advise & 3;
    const value = type === TYPE_NONHEAD ? view.getUint16(at + 4, true) : view.getUint16(at + 2, true);
    yield { type, value, block: view.getUint32(at + 4, true), isPartial: (advise & PARTIAL_FLAG) !== 0 };
  }
}

function* packsOf({ isCompact, advise, clusterBits, blockBits, size, start }: IndexForm): Generator<Pack> {
  if (!isCompact) {
    yield { entries: 1, bytes: FULL_ENTRY_BYTES * Math.ceil(size / 2 ** clusterBits) };
    return;
  }
  const count = Math.ceil(size / 2 ** blockBits);
  const initial = (alignUp(start, 32) - start) / 4;
  const hasLarge = (advise & ADVISE.compact2) !== 0 && clusterBits <= LARGE_PACK_CLUSTER_BITS && initial < count;
  const large = hasLarge ? Math.floor((count - initial) / 16) : 0;
  const before = Math.min(initial, count);
  for (let entries = 0; entries < before; entries += 2) yield { entries: 2, bytes: 8 };
  for (let pack = 0; pack < large; pack++) yield { entries: 16, bytes: 32 };
  for (let entries = before + 16 * large; entries < count; entries += 2) yield { entries: 2, bytes: 8 };
}

/** Each pack ends with the number of a block, from which the extents that begin in it are counted on. */
function* compactEntries(form: IndexForm, bytes: Uint8Array): Generator<IndexEntry> {
  const view = viewOf(bytes);
  const typeShift = Math.max(form.clusterBits, TYPE_BITS_MIN);
  const hasCounts = (form.advise & ADVISE.bigClusters[0]) !== 0;
  let at = 0;
  for (const pack of packsOf(form)) {
    const bits = ((pack.bytes - 4) * 8) / pack.entries;
    const base = view.getUint32(at + pack.bytes - 4, true);
    const entryAt = (slot: number): number => readBits(bytes, at, slot * bits) & (2 ** bits - 1);
    // Without counts every extent has one block, and the base is one less than the first.
    let block = hasCounts ? base : base + 1;
    for (let slot = 0; slot < pack.entries; slot++) {
      const entry = entryAt(slot);
      const type = (entry >>> typeShift) & 3;
      const value = entry & (2 ** typeShift - 1);
      yield { type, value, block: block >>> 0, isPartial: false };
      if (type === TYPE_NONHEAD) {
        if (hasCounts && (value & BLOCK_COUNT_FLAG) !== 0) block += value & ~BLOCK_COUNT_FLAG;
        continue;
      }
      const next = slot + 1 < pack.entries ? entryAt(slot + 1) : 0;
      const isCounted = hasCounts && ((next >>> typeShift) & 3) === TYPE_NONHEAD && (next & BLOCK_COUNT_FLAG) !== 0;
      if (!isCounted || slot + 1 === pack.entries) block += 1;
    }
    at += pack.bytes;
  }
}

/** At least sixteen bits. */
function readBits(bytes: Uint8Array, at: number, bit: number): number {
  const first = at + (bit >>> 3);
  return (bytes[first]! | (bytes[first + 1]! << 8) | ((bytes[first + 2] ?? 0) << 16)) >>> (bit & 7);
}
