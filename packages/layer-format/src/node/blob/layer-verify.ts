import { type Descriptor, type Digest, OCI_LAYER_GZIP } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import { TOC_DIGEST_ANNOTATION } from "../../toc/layout.js";
import { verifyToc } from "../../toc/verify.js";
import type { LayerToc } from "../../toc/toc.js";
import { createByteMeter } from "./byte-meter.js";
import { decompress } from "../compression/decompress.js";
import { checkLayerBlob, type CheckLayerBlobOptions, type LayerSummary } from "./layer-check.js";
import type { LayerFile } from "./layer-file.js";
import { readToc } from "../toc/reader.js";

export interface VerifyLayerBlobOptions extends Omit<CheckLayerBlobOptions, "onEntries"> {
  /** What the table of contents (its JSON) must be: without it, the table vouches for itself. */
  tocDigest?: Digest | undefined;
  /** The blob with the table of an eStargz layer that has it elsewhere. */
  externalToc?: Uint8Array | undefined;
}

export interface VerifiedLayer extends LayerSummary {
  /** Where the layer is eStargz or zstd:chunked. */
  readonly toc?: {
    readonly format: LayerToc["format"];
    readonly digest: Digest;
    readonly chunkCount: number;
    /** What a table cannot say exactly: see {@link verifyToc}. */
    readonly inexactNames: number;
    readonly inexactTimes: number;
  };
}

/**
 * Reads a layer's blob strictly and to its end; where it has a table of contents, proves that it says what the tar says, file by file.
 *
 * @throws {RefsError} `digest_mismatch` if the table is not that of `tocDigest`.
 * @throws {LayerFormatError} what `decompress`, the reader, {@link readToc} and {@link verifyToc} refuse; `toc_invalid` if a table is asked
 * for and there is none.
 */
export async function verifyLayerBlob(file: LayerFile, options: VerifyLayerBlobOptions = {}): Promise<VerifiedLayer> {
  const { tocDigest, externalToc, limits, decompressLimits, signal } = options;
  const summary = await checkLayerBlob(file.chunks({ signal }), options);
  const annotations = tocDigest === undefined ? {} : { [TOC_DIGEST_ANNOTATION]: tocDigest };
  const { digest, size } = summary;
  const descriptor: Descriptor = { mediaType: OCI_LAYER_GZIP, digest, size, annotations };
  const toc = await readToc(file, descriptor, { externalToc, signal });
  if (toc === undefined) {
    if (tocDigest === undefined && externalToc === undefined) return summary;
    throw new LayerFormatError("toc_invalid", `cannot verify layer ${digest}: it has no such table of contents`);
  }
  const uncompressed = createByteMeter();
  const tar = decompress(file.chunks({ signal }), { limits: decompressLimits, signal });
  const { chunkCount, inexactNames, inexactTimes } = await verifyToc(uncompressed.measure(tar, { signal }), toc, {
    signal,
    ...(limits === undefined ? {} : { limits }),
  });
  if (uncompressed.result().digest !== summary.diffID)
    throw new LayerFormatError("layer_invalid", `cannot verify layer ${digest}: it changed while it was read`);
  return { ...summary, toc: { format: toc.format, digest: toc.digest, chunkCount, inexactNames, inexactTimes } };
}
