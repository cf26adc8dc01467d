import { bytesToByteString } from "../byte-string.js";
import type { LayerEntry, LayerEntryKind } from "../layer.js";
import { fileName } from "../tar/plan.js";
import { isText, lossyText } from "./fields.js";
import { EXACT_LINK_NAME, EXACT_NAME, EXACT_XATTRS } from "./layout.js";
import { formatTocTime } from "./time.js";

/** A chunk as a table says it. */
export interface EncodedChunk {
  readonly offset: number;
  readonly innerOffset: number;
  readonly chunkOffset: number;
  readonly size: number;
  readonly digest: string;
}

const TYPES: Readonly<Partial<Record<LayerEntryKind, string>>> = {
  file: "reg",
  whiteout: "reg",
  opaque: "reg",
  directory: "dir",
  symlink: "symlink",
  hardlink: "hardlink",
  char: "char",
  block: "block",
  fifo: "fifo",
};

const NO_BYTES = new Uint8Array();

/**
 * The objects of a table of contents for one entry, as lines of JSON: the entry, and one for each chunk of a file but its first.
 * The same text for the same entry.
 * @param digest of the whole file.
 */
export function encodeTocEntry(entry: LayerEntry, chunks: readonly EncodedChunk[], digest: string): string[] {
  const name = fileName(entry);
  const isDevice = entry.kind === "char" || entry.kind === "block";
  const [first] = chunks;
  const object = {
    ...named("name", EXACT_NAME, name),
    type: TYPES[entry.kind],
    ...(entry.kind === "file" && entry.size > 0 ? { size: entry.size } : {}),
    modtime: formatTocTime({ seconds: entry.mtimeSeconds, nanoseconds: entry.mtimeNanoseconds }),
    ...(entry.kind === "symlink" || entry.kind === "hardlink"
      ? named("linkName", EXACT_LINK_NAME, entry.linkTarget)
      : {}),
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    ...(isDevice ? { devMajor: entry.deviceMajor, devMinor: entry.deviceMinor } : {}),
    ...encodeXattrs(entry),
    ...(entry.kind === "file" ? { digest } : {}),
    ...(first === undefined ? {} : encodeChunk(first, chunks.length > 1)),
  };
  const rest = chunks.slice(1).map((chunk, index) => ({
    name: lossyText(name),
    type: "chunk",
    ...encodeChunk(chunk, index < chunks.length - 2),
  }));
  return [object, ...rest].map((value) => JSON.stringify(value));
}

/** "The last chunk in a reg file or reg file that isn't chunked MUST set this property to zero": it is then left out. */
function encodeChunk(chunk: EncodedChunk, isFollowed: boolean): object {
  return {
    offset: chunk.offset,
    ...(chunk.innerOffset > 0 ? { innerOffset: chunk.innerOffset } : {}),
    ...(chunk.chunkOffset > 0 ? { chunkOffset: chunk.chunkOffset } : {}),
    ...(isFollowed || chunk.chunkOffset > 0 ? { chunkSize: isFollowed ? chunk.size : 0 } : {}),
    chunkDigest: chunk.digest,
  };
}

function named(key: string, exactKey: string, name: string): object {
  return isText(name) ? { [key]: lossyText(name) } : { [key]: lossyText(name), [exactKey]: btoa(name) };
}

function encodeXattrs({ xattrs }: LayerEntry): object {
  if (xattrs.size === 0) return {};
  const names = [...xattrs.keys()].sort();
  const encoded = names.map((name) => [name, btoa(bytesToByteString(xattrs.get(name) ?? NO_BYTES))] as const);
  const exact = Object.fromEntries(encoded.map(([name, value]) => [btoa(name), value]));
  return {
    xattrs: Object.fromEntries(encoded.map(([name, value]) => [lossyText(name), value])),
    ...(names.every(isText) ? {} : { [EXACT_XATTRS]: exact }),
  };
}
