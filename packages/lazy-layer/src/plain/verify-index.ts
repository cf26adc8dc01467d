import { decompress } from "@lamella/layer-format/node";
import { type CallOptions, createDigester, type Digest } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";
import { decodePlainIndex } from "./index-reader.js";
import { encodePlainIndex } from "./index-writer.js";
import { indexLayer, type PlainIndexOptions, type PlainLayerIdentity } from "./make-index.js";
import type { PlainIndex } from "./plain-index.js";

/**
 * Proves an index that somebody else has made: it says of the layer what the layer is. For that the whole blob is read.
 *
 * @returns the index that was made here of the blob, to be kept in the place of the other
 * @throws {LazyLayerError} `index_invalid`; what `makePlainIndex` throws
 */
export async function verifyPlainIndex(
  index: Uint8Array,
  blob: AsyncIterable<Uint8Array>,
  { descriptor, diffID, ...options }: PlainLayerIdentity & PlainIndexOptions,
): Promise<Uint8Array> {
  options.signal?.throwIfAborted();
  const said = decodePlainIndex(index);
  const made = await indexLayer(blob, { descriptor, diffID }, options);
  const isSame =
    said.digest === made.digest &&
    said.diffID === made.diffID &&
    said.tarBytes === made.tarBytes &&
    spansText(said) === spansText(made) &&
    (await headsDigest(said, options)) === (await headsDigest(made, options));
  if (isSame) return encodePlainIndex(made);
  throw new LazyLayerError("index_invalid", `cannot verify index of layer ${descriptor.digest}: the layer is another`);
}

/** What is read of the tar; how a span is entered proves itself. */
function spansText({ spans }: PlainIndex): string {
  return spans.map(({ length, sha256 }) => `${length} ${Buffer.from(sha256).toString("hex")}`).join("\n");
}

async function headsDigest({ heads }: PlainIndex, { signal }: CallOptions): Promise<Digest> {
  const digester = createDigester();
  for await (const chunk of decompress(once(heads), { signal })) digester.update(chunk);
  return digester.digest();
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
