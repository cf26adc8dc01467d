import type { LayerEntry, LayerEntryKind } from "../../layer.js";
import { EntryDecoder, storedBytes } from "./decoder.js";
import { EntryEncoder } from "./encoder.js";
import { HASH_BYTES, HEADER_BYTES, KINDS, kindRank, RECORD_BYTES } from "./layout.js";

const SLAB_BYTES = 1024 * 1024;
const RECORDS_AT_ONCE = 1024;

/** Bodies back to back; none goes over a slab's end. */
interface Slab {
  readonly bytes: Buffer;
  used: number;
}

/**
 * Gathers a layer's entries in the tar's order and gives the sections of their index. It holds the index in memory, once: what
 * the layer's limits let an index have, which is far less than the entries themselves would take.
 */
export class IndexBuilder {
  readonly #encoder: EntryEncoder = new EntryEncoder();
  readonly #slabs: Slab[] = [];
  #hashes: Buffer = Buffer.alloc(SLAB_BYTES / 4);
  #bodiesBytes = 0;
  #contentsBytes = 0;

  // By position.
  readonly #paths: string[] = [];
  readonly #kinds: number[] = [];
  readonly #slabNumbers: number[] = [];
  readonly #slabStarts: number[] = [];
  readonly #lengths: number[] = [];
  readonly #places: number[] = [];
  readonly #dataPlaces: number[] = [];

  get entryCount(): number {
    return this.#paths.length;
  }

  get bodiesBytes(): number {
    return this.#bodiesBytes;
  }

  /** Bytes of data that the entries have. */
  get contentsBytes(): number {
    return this.#contentsBytes;
  }

  /** Adds an entry and tells its position. Data is taken to lie in the order of the entries. */
  add(entry: LayerEntry): number {
    const body = this.#encoder.encode(entry);
    const slab = this.#slabWith(body.length);
    this.#slabNumbers.push(this.#slabs.length - 1);
    this.#slabStarts.push(slab.used);
    slab.bytes.set(body, slab.used);
    slab.used += body.length;
    this.#places.push(HEADER_BYTES + this.#bodiesBytes);
    this.#lengths.push(body.length);
    this.#bodiesBytes += body.length;
    this.#dataPlaces.push(entry.kind === "file" ? this.#contentsBytes : 0);
    this.#contentsBytes += storedBytes(entry);
    this.#kinds.push(KINDS.indexOf(entry.kind));
    this.#growHashes();
    return this.#paths.push(entry.path) - 1;
  }

  /** Sets the content hash of a file; what has none keeps zeros. */
  setHash(position: number, hash: Uint8Array): void {
    this.#hashes.set(hash, HASH_BYTES * position);
  }

  hash(position: number): Buffer {
    return this.#hashes.subarray(HASH_BYTES * position, HASH_BYTES * (position + 1));
  }

  path(position: number): string {
    return this.#paths[position] ?? "";
  }

  kind(position: number): LayerEntryKind {
    return KINDS[this.#kinds[position] ?? 0] ?? "file";
  }

  /** An entry's bytes in the index, its length included. */
  body(position: number): Buffer {
    const start = this.#slabStarts[position] ?? 0;
    const slab = this.#slabs[this.#slabNumbers[position] ?? 0] as Slab;
    return slab.bytes.subarray(start, start + (this.#lengths[position] ?? 0));
  }

  entry(position: number): LayerEntry {
    return new EntryDecoder(this.body(position), this.#contentsBytes).entry(this.#dataPlaces[position] ?? 0);
  }

  /** The positions by path, kind's rank and position. */
  canonicalOrder(): Uint32Array {
    return Uint32Array.from([...this.#paths.keys()].sort((a, b) => this.#compare(a, b)));
  }

  /** The sections of the index from the bodies to the records, in pieces that are each valid until the next is asked for. */
  *sections(order: Uint32Array): Generator<Uint8Array> {
    for (const { bytes, used } of this.#slabs) yield bytes.subarray(0, used);
    yield this.#hashes.subarray(0, HASH_BYTES * this.entryCount);
    const records = Buffer.alloc(RECORD_BYTES * RECORDS_AT_ONCE);
    for (let start = 0; start < order.length; start += RECORDS_AT_ONCE) {
      const some = order.subarray(start, start + RECORDS_AT_ONCE);
      for (const [index, position] of some.entries()) this.#record(records, RECORD_BYTES * index, position);
      yield records.subarray(0, RECORD_BYTES * some.length);
    }
  }

  #record(bytes: Buffer, at: number, position: number): void {
    writeWide(bytes, this.#places[position] ?? 0, at);
    writeWide(bytes, this.#dataPlaces[position] ?? 0, at + 8);
    bytes.writeUInt32LE(this.#lengths[position] ?? 0, at + 16);
    bytes.writeUInt32LE(position, at + 20);
  }

  #compare(a: number, b: number): number {
    const pathA = this.#paths[a] ?? "";
    const pathB = this.#paths[b] ?? "";
    if (pathA !== pathB) return pathA < pathB ? -1 : 1;
    return kindRank(this.kind(a)) - kindRank(this.kind(b)) || a - b;
  }

  #slabWith(length: number): Slab {
    const last = this.#slabs.at(-1);
    if (last !== undefined && last.used + length <= last.bytes.length) return last;
    const slab = { bytes: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length)), used: 0 };
    this.#slabs.push(slab);
    return slab;
  }

  #growHashes(): void {
    if (HASH_BYTES * (this.entryCount + 1) <= this.#hashes.length) return;
    const larger = Buffer.alloc(2 * this.#hashes.length);
    larger.set(this.#hashes);
    this.#hashes = larger;
  }
}

/** A u64 below 2^53, without a BigInt. */
function writeWide(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
