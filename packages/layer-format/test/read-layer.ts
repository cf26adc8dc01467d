import { LayerFormatError, type LayerFormatErrorCode } from "../src/errors.js";
import type { LayerEntry } from "../src/layer.js";
import { createLayerReader } from "../src/tar/layer-reader.js";
import type { LayerLimits } from "../src/limits.js";

export interface ReadEntry {
  readonly entry: LayerEntry;
  readonly contents: Buffer;
}

/** Reads a whole tar, in chunks of the given sizes (the last one again and again), 64 KiB by default. */
export function readLayer(
  tar: Uint8Array,
  { limits, chunks = [65_536] }: { limits?: Partial<LayerLimits>; chunks?: readonly number[] } = {},
): ReadEntry[] {
  const read: { entry: LayerEntry; parts: Buffer[] }[] = [];
  const reader = createLayerReader(
    {
      entry: (entry) => read.push({ entry, parts: [] }),
      contents: (bytes) => read.at(-1)?.parts.push(Buffer.from(bytes)),
    },
    { limits },
  );
  for (let at = 0, index = 0; at < tar.length; index++) {
    const size = chunks[Math.min(index, chunks.length - 1)] ?? 1;
    // A copy that is spoilt afterwards: nothing may be kept of a chunk.
    const chunk = Buffer.from(tar.subarray(at, at + size));
    reader.push(chunk);
    chunk.fill(0xee);
    at += size;
  }
  reader.end();
  return read.map(({ entry, parts }) => ({ entry, contents: Buffer.concat(parts) }));
}

/** The one entry of a tar. */
export function readOne(tar: Uint8Array, options?: Parameters<typeof readLayer>[1]): ReadEntry {
  const entries = readLayer(tar, options);
  const [first] = entries;
  if (first === undefined || entries.length !== 1) throw new Error(`the tar has ${entries.length} entries, not one`);
  return first;
}

/** Why a tar is refused; undefined if it is not. */
export function refusal(
  tar: Uint8Array,
  options?: Parameters<typeof readLayer>[1],
): { code: LayerFormatErrorCode; message: string } | undefined {
  try {
    readLayer(tar, options);
    return undefined;
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
    return { code: error.code, message: error.message };
  }
}

export function paths(tar: Uint8Array): string[] {
  return readLayer(tar).map(({ entry }) => `${entry.kind} ${entry.path}`);
}
