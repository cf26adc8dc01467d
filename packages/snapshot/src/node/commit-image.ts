import { tmpdir } from "node:os";
import { join } from "node:path";

import { mergeLayers } from "@lamella/layer-format";
import { createLayerFile, type LayerOutput, openLayerFile } from "@lamella/layer-format/node";
import {
  type CallOptions,
  collectContent,
  type Descriptor,
  type Fetcher,
  hostPlatform,
  isNondistributableType,
  MAX_DOCUMENT_BYTES,
  pairLayers,
  parseImageConfig,
  parseManifest,
  type Platform,
  type Pusher,
  type RunConfig,
} from "@lamella/refs";

import { chainID } from "../chain-id.js";
import { type BaseDocuments, type ImageDocument, makeImageDocuments } from "../image-documents.js";
import type { Snapshotter } from "../snapshotter.js";
import { packDiff, type PackDiffOptions, type PackedDiff } from "./diff-pack.js";
import { diffSnapshot } from "./diff-snapshot.js";
import { removeDirectory } from "./snapshot-directory.js";
import { makeTemporaryDirectory } from "./temporary-directory.js";

/** The image on whose layers a snapshot stands. */
export interface ImageBase {
  readonly images: Fetcher;
  /** Of the manifest, not of an index. */
  readonly descriptor: Descriptor;
}

export interface CommitImageOptions extends PackDiffOptions {
  /** Its config is kept but for what is said here, and its chain must be in the snapshotter (`applyLayers`). Without, the image has one layer: all that the snapshot shows. */
  base?: ImageBase | undefined;
  /** Of an image without a base; this machine's by default. */
  platform?: Platform | undefined;
  /** Variables, labels, ports and volumes are added to those of the base; anything else takes the place of what the base has. */
  run?: RunConfig | undefined;
  /** What the history says of the layer. */
  createdBy?: string | undefined;
  author?: string | undefined;
  comment?: string | undefined;
  /** When the image is made, in milliseconds since 1970, if there is no `sourceDateEpoch`; the clock's by default. */
  now?: (() => number) | undefined;
  /** Where the layer waits until its digest is known; that of the system by default. */
  temporaryDirectory?: string | undefined;
}

export interface CommittedImage {
  /** What the image is named by, and its bytes, as a sink's `pushManifest` takes them. */
  readonly manifest: ImageDocument;
  readonly config: ImageDocument;
  /** Undefined where the snapshot changes nothing of its base: then the image has no more layers than that. */
  readonly layer: PackedDiff | undefined;
}

/**
 * Makes an image of what a snapshot changes of its base: its layers, one more layer, a config with one more diffID and entry of the history, and a manifest
 * with media types of the base's family. All of it is pushed, the manifest last and under no name; what `to` has already is not sent.
 * Layers that only their own address may give are not pushed.
 *
 * With `sourceDateEpoch` the same snapshot makes the same image. An active snapshot must not change on the way.
 *
 * @throws {SnapshotError} `not_found` without the snapshot, or the one of the base's chain; `unsupported`. {@link RefsError} for a base that is not what it
 * should be; what the base and `to` throw
 */
export async function commitImage(
  snapshotter: Snapshotter,
  key: string,
  to: Pusher,
  options: CommitImageOptions = {},
): Promise<CommittedImage> {
  const { base, run, createdBy, author, comment, now = Date.now, sourceDateEpoch, signal } = options;
  signal?.throwIfAborted();
  const below = base && (await readBase(base, { signal }));
  const temporary = await makeTemporaryDirectory(options.temporaryDirectory ?? tmpdir());
  try {
    const path = join(temporary, "layer");
    const packed = await packSnapshot(snapshotter, key, { path, parent: below?.chain, options });
    const layer = packed.entryCount === 0 && below !== undefined ? undefined : packed;
    const createdAt = new Date(sourceDateEpoch === undefined ? now() : sourceDateEpoch * 1000);
    const documents = makeImageDocuments({
      base: below?.documents ?? options.platform ?? hostPlatform(),
      layer,
      createdAt,
      createdBy,
      author,
      comment,
      run,
    });
    for (const descriptor of below?.layers ?? []) {
      if (isNondistributableType(descriptor.mediaType)) continue;
      await to.push(descriptor, (base as ImageBase).images.fetch(descriptor, { signal }), { signal });
    }
    if (layer !== undefined) await pushFile(path, layer, to, { signal });
    for (const { descriptor, bytes } of [documents.config, documents.manifest]) {
      await to.push(descriptor, once(bytes), { signal });
    }
    return { ...documents, layer };
  } finally {
    await removeDirectory(temporary);
  }
}

interface ReadBase {
  readonly documents: BaseDocuments;
  readonly layers: readonly Descriptor[];
  readonly chain: string | undefined;
}

async function readBase({ images, descriptor }: ImageBase, call: CallOptions): Promise<ReadBase> {
  const manifest = await readDocument(images, descriptor, call);
  const parsed = parseManifest(manifest.bytes, descriptor.mediaType);
  const config = await readDocument(images, parsed.config, call);
  const layers = pairLayers(parsed, parseImageConfig(config.bytes));
  return { documents: { manifest, config }, layers: parsed.layers, chain: chainID(layers.map(({ diffID }) => diffID)) };
}

async function readDocument(images: Fetcher, descriptor: Descriptor, call: CallOptions): Promise<ImageDocument> {
  const bytes = await collectContent(descriptor, images.fetch(descriptor, call), MAX_DOCUMENT_BYTES, call);
  const { mediaType, digest, size } = descriptor;
  return { descriptor: { mediaType, digest, size }, bytes };
}

interface Packing {
  readonly path: string;
  readonly parent: string | undefined;
  readonly options: CommitImageOptions;
}

async function packSnapshot(
  snapshotter: Snapshotter,
  key: string,
  { path, parent, options }: Packing,
): Promise<PackedDiff> {
  const pack = async (output: LayerOutput): Promise<PackedDiff> => {
    if (parent !== undefined) return diffSnapshot(snapshotter, key, output, { ...options, parent });
    await using nothing = await mergeLayers([]);
    await using tree = await snapshotter.openTree(key, { signal: options.signal });
    return await packDiff(nothing, tree, output, options);
  };
  await using file = await createLayerFile(path);
  const packed = await pack(file);
  await file.commit();
  return packed;
}

async function pushFile(path: string, descriptor: Descriptor, to: Pusher, call: CallOptions): Promise<void> {
  await using file = await openLayerFile(path, call);
  const { mediaType, digest, size } = descriptor;
  await to.push({ mediaType, digest, size }, file.chunks(call), call);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
