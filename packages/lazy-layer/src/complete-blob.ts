import { type LayerToc, verifyToc } from "@lamella/layer-format";
import { decompress } from "@lamella/layer-format/node";
import {
  type CallOptions,
  createDigester,
  type Digest,
  digestAlgorithm,
  type Pusher,
  RefsError,
  verifyContent,
} from "@lamella/refs";

import type { BlobReader } from "./blob-reader.js";
import { isWrong } from "./lazy-chunks.js";

export interface CompleteBlobOptions extends CallOptions {
  readonly diffID: Digest;
  /** Of a layer that has one. */
  readonly toc?: LayerToc | undefined;
}

/** Proves a whole blob to be what it is said to be, then pushes it. What is wrong in the cache is fetched once more. */
export async function completeBlob(reader: BlobReader, sink: Pusher, options: CompleteBlobOptions): Promise<void> {
  const { signal } = options;
  signal?.throwIfAborted();
  try {
    await verifyBlob(reader, options);
  } catch (error) {
    if (!isWrong(error)) throw error;
    await reader.drop(0, reader.size);
    await verifyBlob(reader, options);
  }
  await sink.push(reader.descriptor, blobOf(reader, options), { signal });
}

async function verifyBlob(reader: BlobReader, { diffID, toc, signal }: CompleteBlobOptions): Promise<void> {
  const digester = createDigester(digestAlgorithm(diffID));
  async function* tar(): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompress(blobOf(reader, { signal }), { signal })) {
      digester.update(chunk);
      yield chunk;
    }
  }
  if (toc === undefined) for await (const _ of tar()) signal?.throwIfAborted();
  else await verifyToc(tar(), toc, signal === undefined ? {} : { signal });
  const actual = digester.digest();
  if (actual === diffID) return;
  const message = `cannot verify layer ${reader.descriptor.digest}: its diffID is ${actual}, not ${diffID}`;
  throw new RefsError("digest_mismatch", message);
}

function blobOf(reader: BlobReader, { signal }: CallOptions): AsyncIterable<Uint8Array> {
  const bytes = reader.read(0, reader.size, { signal, priority: "background" });
  return verifyContent(reader.descriptor, bytes, { signal });
}
