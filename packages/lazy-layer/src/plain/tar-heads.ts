import { gzipSync } from "node:zlib";

import { createLayerReader, type LayerEntry, LayerFormatError, type LayerLimits } from "@lamella/layer-format";
import { decompress } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";

/*
 * The heads of a tar are its bytes without the files' data and what comes after the last entry: headers, extended headers and sparse maps as they
 * stand there. Read by the strict reader, with zeros in the place of data, they give the layer's entries again, whoever made them.
 */

const BLOCK_BYTES = 512;
/** Heads that are packed together. */
const PACK_BYTES = 256 * 1024;
/** What may stand between two entries: headers, and data of files that are no part of the layer. */
const MAX_GAP_BYTES = 16 * 2 ** 20;
const ZEROS = new Uint8Array(1 << 20);

export interface TarHeadsOptions extends CallOptions {
  limits?: Partial<LayerLimits> | undefined;
}

/** Reads a tar strictly as it comes and keeps its heads. */
export interface TarHeadsRecorder {
  /** @throws {LayerFormatError} what `createLayerReader` refuses */
  push(chunk: Uint8Array): void;
  /** The heads, gzip. */
  end(): Uint8Array;
}

export function createTarHeadsRecorder({ limits }: TarHeadsOptions): TarHeadsRecorder {
  const packed: Uint8Array[] = [];
  let heads: Uint8Array[] = [];
  let headsBytes = 0;
  /** What came after the last entry's data. */
  let gap: Uint8Array[] = [];
  let gapBytes = 0;
  let position = 0;
  /** Up to here it is known what the tar's bytes are. */
  let known = 0;
  let isLost = false;
  const found: { readonly headEnd: number; readonly dataEnd: number }[] = [];

  const reader = createLayerReader(
    {
      entry: (entry, dataOffset) => found.push({ headEnd: dataOffset, dataEnd: dataOffset + paddedBytes(entry) }),
      contents: () => undefined,
    },
    { limits },
  );

  function keep(bytes: Uint8Array): void {
    heads.push(bytes);
    headsBytes += bytes.length;
    if (headsBytes >= PACK_BYTES) pack();
  }

  function pack(): void {
    if (headsBytes > 0) packed.push(gzipSync(Buffer.concat(heads)));
    heads = [];
    headsBytes = 0;
  }

  return {
    push(chunk) {
      reader.push(chunk);
      for (const { headEnd, dataEnd } of found.splice(0)) {
        if (isLost) {
          const rule = `over ${MAX_GAP_BYTES} bytes that are none of the layer's come before an entry`;
          throw new LayerFormatError("layer_limit", `cannot index layer: ${rule}`);
        }
        for (const bytes of gap) keep(bytes);
        gap = [];
        gapBytes = 0;
        // A copy: the chunk is used again.
        if (headEnd > known) keep(new Uint8Array(chunk.subarray(Math.max(0, known - position), headEnd - position)));
        known = dataEnd;
      }
      const end = position + chunk.length;
      if (known < end && !isLost) {
        gap.push(new Uint8Array(chunk.subarray(Math.max(0, known - position))));
        gapBytes += end - Math.max(known, position);
        known = end;
        isLost = gapBytes > MAX_GAP_BYTES;
        if (isLost) gap = [];
      }
      position = end;
    },
    end() {
      reader.end();
      pack();
      return Buffer.concat(packed);
    },
  };
}

/**
 * The entries of a layer from its heads; `contentOffset` is where a file's data begins in the tar.
 * @throws {LayerFormatError} what `createLayerReader` and `decompress` refuse.
 * @throws {LazyLayerError} `index_invalid` if data lies outside of the tar.
 */
export async function readTarHeads(
  heads: Uint8Array,
  tarBytes: number,
  { limits, signal }: TarHeadsOptions,
): Promise<LayerEntry[]> {
  signal?.throwIfAborted();
  const entries: LayerEntry[] = [];
  let data = 0;
  const reader = createLayerReader(
    {
      entry(entry, dataOffset) {
        entries.push(entry.kind === "file" ? { ...entry, contentOffset: dataOffset } : entry);
        data = paddedBytes(entry);
      },
      contents: () => undefined,
    },
    { limits },
  );
  let position = 0;
  const pushBlock = (block: Uint8Array): void => {
    reader.push(block);
    position += block.length + data;
    if (position > tarBytes) throw outside();
    for (; data > 0; data -= Math.min(data, ZEROS.length)) reader.push(ZEROS.subarray(0, data));
  };
  let carry: Uint8Array = new Uint8Array();
  for await (const chunk of decompress(once(heads), { signal })) {
    const bytes = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
    const whole = bytes.length - (bytes.length % BLOCK_BYTES);
    for (let at = 0; at < whole; at += BLOCK_BYTES) pushBlock(bytes.subarray(at, at + BLOCK_BYTES));
    carry = new Uint8Array(bytes.subarray(whole));
  }
  reader.push(carry);
  reader.end();
  return entries;
}

function storedBytes({ kind, extents, size }: LayerEntry): number {
  if (kind !== "file") return 0;
  return extents === undefined ? size : extents.reduce((sum, { length }) => sum + length, 0);
}

function paddedBytes(entry: LayerEntry): number {
  return Math.ceil(storedBytes(entry) / BLOCK_BYTES) * BLOCK_BYTES;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

function outside(): LazyLayerError {
  return new LazyLayerError("index_invalid", "cannot read index of layer: a file's data lies outside of the tar");
}
