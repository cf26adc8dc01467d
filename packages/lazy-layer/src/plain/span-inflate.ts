import { constants, gunzip, inflateRaw, type InputType, type ZlibOptions } from "node:zlib";

import { joinPrefix } from "./deflate-prefix.js";
import { damagedGzip } from "./gzip-damage.js";
import { type Span, WINDOW_BYTES } from "./plain-index.js";

/** The byte in which a span ends holds up to seven bits of what follows: a match each at most. */
const EXCESS_BYTES = 7 * 258;

type Inflate = (bytes: InputType, options: ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void;

/**
 * Unpacks a span of a gzip blob from its bytes of the blob. Only its hash tells whether it is the right one.
 * @throws {LayerFormatError} `compression_invalid`: what came is no such span, or its beginning is wrong.
 */
export async function inflateSpan(span: Span, bytes: Uint8Array): Promise<Uint8Array> {
  const most = span.length + EXCESS_BYTES;
  if (span.kind === "gzip") return (await run(gunzip, bytes, most)).subarray(0, span.length);
  const window = await run(inflateRaw, span.window, WINDOW_BYTES);
  const inflated = await run(inflateRaw, joinPrefix(span.prefix, span.bit, bytes), most, window);
  return inflated.subarray(0, span.length);
}

function run(inflate: Inflate, bytes: Uint8Array, most: number, dictionary?: Uint8Array): Promise<Uint8Array> {
  const options: ZlibOptions = {
    // The data ends where it was cut: that is no error.
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: most,
    maxOutputLength: most,
    ...(dictionary !== undefined && dictionary.length > 0 && { dictionary }),
  };
  return new Promise((resolve, reject) => {
    inflate(bytes, options, (error, result) => {
      if (error === null) resolve(result);
      else reject(damagedGzip(error.message, error));
    });
  });
}
