import { alignUp } from "../../byte-layout.js";
import type { CompressedFile } from "../inode.js";
import { BLOCK_BYTES, COMPRESSION } from "../layout.js";

/*
 * Where a compressed file's extents lie: `struct z_erofs_map_header`, then the compact index. It says of each 4 KiB of the file (a
 * logical cluster) whether an extent begins in it, at which byte, or how far away its beginning is. Entries come in packs that end with a
 * block number: two entries of 16 bits in 8 bytes up to a border of 32, then sixteen of 14 bits in 32 bytes, the rest two in 8 again.
 *
 *  +----------+--------+---------+-----+---------+-----+--------+-----+
 *  | header 8 | 2 in 8 | 2 in 8  | ... | 16 in 32| ... | 2 in 8 | ... |
 *  +----------+--------+---------+-----+---------+-----+--------+-----+
 *  ^ 8-aligned                         ^ 32-aligned
 *
 * Facts from Linux: fs/erofs/erofs_fs.h and zmap.c.
 */

const HEADER_BYTES = 8;
const SMALL_PACK = { entries: 2, bytes: 8, entryBits: 16 } as const;
const LARGE_PACK = { entries: 16, bytes: 32, entryBits: 14 } as const;
type Pack = typeof SMALL_PACK | typeof LARGE_PACK;

const TYPE_PLAIN = 0;
const TYPE_HEAD = 1;
const TYPE_NONHEAD = 2;
/** An entry: twelve bits of a distance or an offset, then the type. */
const TYPE_SHIFT = 12;
/** Marks the entry after a beginning: it counts the extent's blocks. */
const BLOCK_COUNT_FLAG = 0x800;

/** How many bytes lie between the end of an inode's xattrs (an offset on the disk, or from its inode) and the end of its index. */
export function indexLength(headEnd: number, size: number): number {
  const start = alignUp(headEnd, 8) + HEADER_BYTES;
  let end = start;
  for (const pack of packsOf(start, Math.ceil(size / BLOCK_BYTES))) end += pack.bytes;
  return end - headEnd;
}

export interface IndexedFile {
  readonly size: number;
  readonly compressed: CompressedFile;
  /** The first block. */
  readonly block: number;
}

/** Writes what {@link indexLength} measured. */
export function writeIndex(file: IndexedFile, target: Uint8Array, headEnd: number): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  const header = alignUp(headEnd, 8);
  view.setUint16(header + 4, COMPRESSION.adviseCompactedBigClusters, true);
  view.setUint8(header + 6, file.compressed.algorithm);

  const clusters = listClusters(file);
  let at = header + HEADER_BYTES;
  let first = 0;
  for (const pack of packsOf(at, clusters.count)) {
    writePack(pack, clusters, first, target.subarray(at, at + pack.bytes));
    at += pack.bytes;
    first += pack.entries;
  }
}

function* packsOf(start: number, count: number): Generator<Pack> {
  const initial = Math.min(count, ((32 - (start % 32)) % 32) / 4);
  const large = Math.floor((count - initial) / LARGE_PACK.entries);
  const rest = count - initial - large * LARGE_PACK.entries;
  for (let entries = 0; entries < initial; entries += SMALL_PACK.entries) yield SMALL_PACK;
  for (let pack = 0; pack < large; pack++) yield LARGE_PACK;
  for (let entries = 0; entries < rest; entries += SMALL_PACK.entries) yield SMALL_PACK;
}

/** The file's logical clusters. */
interface Clusters {
  readonly count: number;
  readonly types: Uint8Array;
  /** Of a beginning its byte in the cluster, of any other the distance back to the beginning, or the flag and the extent's blocks. */
  readonly values: Uint16Array;
  /** How far ahead the next beginning is. */
  readonly distances: Uint16Array;
  /** Of a beginning its first block. */
  readonly blocks: Uint32Array;
}

function listClusters({ size, compressed, block: firstBlock }: IndexedFile): Clusters {
  const count = Math.ceil(size / BLOCK_BYTES);
  const types = new Uint8Array(count);
  const values = new Uint16Array(count);
  const distances = new Uint16Array(count);
  const blocks = new Uint32Array(count);
  const { extents } = compressed;
  let start = 0;
  let block = firstBlock;
  for (let index = 0; index < extents.length; index += 2) {
    const compressedBlocks = extents[index + 1]!;
    const head = Math.floor(start / BLOCK_BYTES);
    types[head] = compressedBlocks === 0 ? TYPE_PLAIN : TYPE_HEAD;
    values[head] = start % BLOCK_BYTES;
    blocks[head] = block;
    start += extents[index]!;
    block += compressedBlocks || 1;
    const next = Math.floor(start / BLOCK_BYTES);
    for (let cluster = head + 1; cluster < next; cluster++) {
      types[cluster] = TYPE_NONHEAD;
      values[cluster] = cluster === head + 1 ? BLOCK_COUNT_FLAG | compressedBlocks : cluster - head;
      distances[cluster] = next - cluster;
    }
    // The end of the file within a cluster counts as a beginning, so that a decoder knows the last extent's length.
    if (start === size && next < count && next > head) {
      types[next] = TYPE_PLAIN;
      values[next] = start % BLOCK_BYTES;
      blocks[next] = block;
    }
  }
  return { count, types, values, distances, blocks };
}

function writePack(pack: Pack, clusters: Clusters, first: number, target: Uint8Array): void {
  const { types, values, distances, blocks, count } = clusters;
  const end = Math.min(first + pack.entries, count);
  let base: number | undefined;
  let blocksBefore = 0;
  for (let cluster = first; cluster < end; cluster++) {
    const slot = cluster - first;
    const type = types[cluster]!;
    let value = values[cluster]!;
    if (type !== TYPE_NONHEAD) {
      base ??= blocks[cluster]! - blocksBefore;
    } else if ((value & BLOCK_COUNT_FLAG) !== 0) {
      // A reader of the pack counts these blocks even if their extent began in the pack before.
      if (slot === 0) blocksBefore = value & ~BLOCK_COUNT_FLAG;
    } else if (slot === pack.entries - 1) {
      value = distances[cluster]!;
    }
    writeBits(target, slot * pack.entryBits, (type << TYPE_SHIFT) | value);
  }
  new DataView(target.buffer, target.byteOffset).setUint32(pack.bytes - 4, base ?? 0, true);
}

/** Sets fourteen bits of what is all zeros. */
function writeBits(target: Uint8Array, bit: number, value: number): void {
  let at = bit >>> 3;
  for (let left = value << (bit & 7); left > 0; left >>>= 8) target[at++]! |= left & 0xff;
}
