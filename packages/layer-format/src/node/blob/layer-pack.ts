import { type Descriptor, type Digest, OCI_LAYER_GZIP, OCI_LAYER_TAR, OCI_LAYER_ZSTD } from "@lamella/refs";

import type { FileTree } from "../../file-tree.js";
import { type TarInput, writeTar } from "../../tar/writer.js";
import { createByteMeter } from "./byte-meter.js";
import type { Compression } from "../compression/decompress.js";
import { compress, type CompressOptions } from "./pack-compression.js";
import { clampTimes, treeEntries } from "./pack-entries.js";

/** Takes a layer's bytes in order; the next come when it has resolved, and a chunk is valid until then. */
export interface LayerOutput {
  write(bytes: Uint8Array): Promise<unknown>;
}

export interface PackLayerOptions extends CompressOptions {
  /** In seconds since 1970: later times become this one, as SOURCE_DATE_EPOCH asks for. */
  sourceDateEpoch?: number | undefined;
}

/** A layer that was written; as a descriptor it can stand in a manifest, with its diffID in the config. */
export interface PackedLayer extends Descriptor {
  readonly diffID: Digest;
  /** Bytes of the tar. */
  readonly uncompressedSize: number;
}

const MEDIA_TYPES: Readonly<Record<Compression, string>> = {
  none: OCI_LAYER_TAR,
  gzip: OCI_LAYER_GZIP,
  zstd: OCI_LAYER_ZSTD,
};

/**
 * Writes a tree, or entries in the order in which they come, as a layer: tar, compression and both digests in one pass, at the output's
 * pace and with some chunks of 1 MiB in memory. The same entries make the same tar anywhere, and the same blob with one version of Node.
 *
 * A tree's sockets, which no tar can hold, are left out and counted.
 *
 * @throws {LayerFormatError} `layer_invalid` for an entry that no layer's tar can hold (see {@link writeTar});
 * `compression_unavailable` for zstd before Node 22.15.
 * @throws {RangeError} for a level that the compression does not have. Errors of the tree and of the output pass as they are.
 */
export async function packLayer(
  source: FileTree | AsyncIterable<TarInput>,
  output: LayerOutput,
  options: PackLayerOptions = {},
): Promise<PackedLayer & { readonly omittedSockets: number }> {
  const { sourceDateEpoch, signal } = options;
  signal?.throwIfAborted();
  let omittedSockets = 0;
  const onSocket = (): void => void omittedSockets++;
  const entries = Symbol.asyncIterator in source ? source : treeEntries(source, { onSocket, signal });
  const timed = sourceDateEpoch === undefined ? entries : clampTimes(entries, sourceDateEpoch);
  const packed = await packTar(writeTar(timed, { signal }), output, options);
  return { ...packed, omittedSockets };
}

/**
 * Writes a tar as a layer's blob, its own bytes kept. They are not looked at: see {@link checkTar}.
 *
 * @throws as {@link packLayer} does, and what the tar's source throws.
 */
export async function packTar(
  tar: AsyncIterable<Uint8Array>,
  output: LayerOutput,
  options: CompressOptions = {},
): Promise<PackedLayer> {
  const { compression = "gzip", signal } = options;
  signal?.throwIfAborted();
  const uncompressed = createByteMeter();
  const transported = createByteMeter();
  const counted = uncompressed.measure(tar, { signal });
  const blob = compress(counted, { ...options, compression });
  for await (const chunk of compression === "none" ? blob : transported.measure(blob, { signal })) {
    await output.write(chunk);
  }
  signal?.throwIfAborted();
  const { digest: diffID, size: uncompressedSize } = uncompressed.result();
  const { digest, size } = compression === "none" ? { digest: diffID, size: uncompressedSize } : transported.result();
  return { mediaType: MEDIA_TYPES[compression], digest, size, diffID, uncompressedSize };
}
