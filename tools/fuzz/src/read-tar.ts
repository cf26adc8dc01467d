import { createHash, type Hash } from "node:crypto";

import {
  createLayerReader,
  LayerFormatError,
  type LayerEntry,
  type LayerFormatErrorCode,
  type LayerLimits,
} from "@lamella/layer-format";

/** An entry and the hash of a file's content with its holes; of other kinds, of nothing. */
export interface ReadTarEntry {
  readonly entry: LayerEntry;
  /** In hexadecimal; empty for files of over `HASHED_BYTES`. */
  readonly sha256: string;
  /** A file's data without its holes; only if asked for. */
  readonly contents: Uint8Array;
}

export interface ReadTarOptions {
  limits?: Partial<LayerLimits>;
  keepContents?: boolean;
}

/** What our reader makes of a tar: what came before a refusal is here as well. */
export interface TarReading {
  readonly entries: readonly ReadTarEntry[];
  readonly refusal?: { readonly code: LayerFormatErrorCode; readonly message: string };
}

/** Holes cost no bytes: a file of a header could take hours to hash. */
const HASHED_BYTES = 512 * 2 ** 20;

const ZEROS = new Uint8Array(1 << 16);

interface Work {
  readonly entry: LayerEntry;
  readonly hash: Hash | undefined;
  /** Where the next byte of the contents belongs. */
  position: number;
  extent: number;
  readonly contents: Uint8Array[];
}

/** Reads the chunks of a tar with our reader. Any error but a `LayerFormatError` is thrown. */
export function readTar(
  chunks: Iterable<Uint8Array>,
  { limits = {}, keepContents = false }: ReadTarOptions = {},
): TarReading {
  const entries: ReadTarEntry[] = [];
  let work: Work | undefined;
  const finish = (): void => {
    if (work === undefined) return;
    const { entry, hash, contents } = work;
    if (entry.kind === "file") fill(work, entry.size);
    entries.push({ entry, sha256: hash?.digest("hex") ?? "", contents: Buffer.concat(contents) });
    work = undefined;
  };
  const reader = createLayerReader(
    {
      entry(entry) {
        finish();
        const hash = entry.kind === "file" && entry.size > HASHED_BYTES ? undefined : createHash("sha256");
        work = { entry, hash, position: 0, extent: 0, contents: [] };
      },
      contents(bytes) {
        if (work === undefined) throw new Error("contents come before any entry");
        place(work, bytes);
        if (keepContents) work.contents.push(new Uint8Array(bytes));
      },
    },
    { limits },
  );
  try {
    for (const chunk of chunks) reader.push(chunk);
    reader.end();
    finish();
    return { entries };
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
    return { entries, refusal: { code: error.code, message: error.message } };
  }
}

/** The bytes in pieces of these sizes, in turns. Each piece is a copy that is spoilt when the next one is taken. */
export function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let turn = 0;
  for (let at = 0; at < bytes.length;) {
    const size = Math.max(1, sizes[turn++ % sizes.length] ?? 1);
    const chunk = new Uint8Array(bytes.subarray(at, at + size));
    yield chunk;
    chunk.fill(0xee);
    at += size;
  }
}

function place(work: Work, bytes: Uint8Array): void {
  const { extents } = work.entry;
  let rest = bytes;
  while (rest.length > 0) {
    const extent = extents === undefined ? { offset: 0, length: work.entry.size } : extents[work.extent];
    if (extent === undefined) throw new Error("contents are longer than the file's extents");
    fill(work, extent.offset);
    const count = Math.min(rest.length, extent.offset + extent.length - work.position);
    if (count === 0 && extents === undefined) throw new Error("contents are longer than the file");
    work.hash?.update(rest.subarray(0, count));
    work.position += count;
    if (work.position === extent.offset + extent.length) work.extent++;
    rest = rest.subarray(count);
  }
}

function fill(work: Work, end: number): void {
  while (work.hash !== undefined && work.position < end) {
    const count = Math.min(ZEROS.length, end - work.position);
    work.hash.update(ZEROS.subarray(0, count));
    work.position += count;
  }
  work.position = Math.max(work.position, end);
}
