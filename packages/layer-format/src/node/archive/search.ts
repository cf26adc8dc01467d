import type { CallOptions } from "@lamella/refs";

import type { LayerEntry } from "../../layer.js";
import { EntryDecoder } from "./decoder.js";
import { invalidIndex } from "./footer.js";
import { kindRank, RECORD_BYTES } from "./layout.js";
import type { PageReader } from "./pages.js";

/** Holds the lengths, the kind and the path of nearly every entry. */
const KEY_BYTES = 256;

/** An entry and its place in the tar's order, from 0. */
export interface ArchivedEntry extends LayerEntry {
  readonly position: number;
}

/** All that a layer says of one path. */
export interface LayerLookup {
  /** What is there, a hard link as such; the last one in the tar if it says so several times. */
  readonly entry: ArchivedEntry | undefined;
  /** Whether a whiteout removes what lower layers have at the path. `entry` stays as it is, whichever comes first. */
  readonly isWhiteout: boolean;
  /** Whether an opaque marker removes what lower layers have below the path. */
  readonly isOpaque: boolean;
}

interface IndexRecord {
  readonly place: number;
  readonly contentOffset: number;
  readonly length: number;
  readonly position: number;
}

/**
 * What the index says of exactly this path, by binary search over its records.
 * @throws {LayerFormatError} `archive_invalid`
 */
export async function lookupPath(index: PageReader, path: string, options: CallOptions): Promise<LayerLookup> {
  // The first that is a marker, or of a greater path: before it stands the last entry of what there is.
  const markers = await firstFrom(index, { path, rank: 1 }, options);
  const entry = await entryAt(index, markers - 1, path, options);
  const rank = await rankAt(index, markers, path, options);
  if (rank !== 1) return { entry, isWhiteout: false, isOpaque: rank === 2 };
  const opaque = await firstFrom(index, { path, rank: 2 }, options);
  return { entry, isWhiteout: true, isOpaque: (await rankAt(index, opaque, path, options)) === 2 };
}

interface Key {
  readonly path: string;
  readonly rank: number;
}

/** The number of the first record that is not before a key. */
async function firstFrom(index: PageReader, { path, rank }: Key, options: CallOptions): Promise<number> {
  let low = 0;
  let high = index.footer.entryCount;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const key = await keyAt(index, middle, options);
    if (key.path < path || (key.path === path && key.rank < rank)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The entry of a record if it is of this path and no marker. */
async function entryAt(
  index: PageReader,
  number: number,
  path: string,
  options: CallOptions,
): Promise<ArchivedEntry | undefined> {
  if (number < 0) return undefined;
  const key = await keyAt(index, number, options);
  if (key.path !== path || key.rank > 0) return undefined;
  const { place, length, contentOffset, position } = await recordAt(index, number, options);
  const body = await index.read(place, length, options);
  const entry = new EntryDecoder(body, index.footer.contentsBytes).entry(contentOffset);
  return { ...entry, position };
}

/** The kind's rank of a record if it is of this path, else 0. */
async function rankAt(index: PageReader, number: number, path: string, options: CallOptions): Promise<number> {
  if (number >= index.footer.entryCount) return 0;
  const key = await keyAt(index, number, options);
  return key.path === path ? key.rank : 0;
}

async function keyAt(index: PageReader, number: number, options: CallOptions): Promise<Key> {
  const { place, length } = await recordAt(index, number, options);
  const keyOf = async (bytes: number): Promise<ReturnType<EntryDecoder["key"]>> =>
    new EntryDecoder(await index.read(place, bytes, options), 0).key();
  const key = (await keyOf(Math.min(length, KEY_BYTES))) ?? (await keyOf(length));
  return key === undefined
    ? invalidIndex("a path ends outside of its entry")
    : { path: key.path, rank: kindRank(key.kind) };
}

async function recordAt(index: PageReader, number: number, options: CallOptions): Promise<IndexRecord> {
  const { places, footer } = index;
  const bytes = await index.read(places.records + RECORD_BYTES * number, RECORD_BYTES, options);
  const place = Number(bytes.readBigUInt64LE(0));
  const contentOffset = Number(bytes.readBigUInt64LE(8));
  const length = bytes.readUInt32LE(16);
  const position = bytes.readUInt32LE(20);
  if (place < places.bodies || place + length > places.hashes)
    invalidIndex("a record's body lies outside of the bodies");
  if (contentOffset > footer.contentsBytes || position >= footer.entryCount) invalidIndex("a record is of no entry");
  return { place, contentOffset, length, position };
}
