import {
  type CallOptions,
  createDigester,
  type Descriptor,
  type Digest,
  digestOf,
  MAX_DOCUMENT_BYTES,
  OCI_CONFIG,
  OCI_LAYER_GZIP,
  OCI_LAYER_TAR,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
  parseImageConfig,
  quote,
  RefsError,
} from "@lamella/refs";

import type { ArchiveMembers } from "./archive-members.js";
import { type DockerArchiveImage, invalid } from "./docker-archive-manifest.js";
import type { FilePart } from "./plain-file.js";

/** An image whose manifest was made here, since its archive has none. */
export interface SyntheticImage {
  readonly descriptor: Descriptor;
  /** What the digest stands for; undefined when it is not of this image. */
  content(digest: Digest): AsyncIterable<Uint8Array> | undefined;
}

interface Layer {
  readonly descriptor: Descriptor;
  readonly part: FilePart;
}

/** Reads the layers once, to know their digests, and makes the manifest: the same bytes each time. */
export async function synthesizeImage(
  members: ArchiveMembers,
  image: DockerArchiveImage,
  options: CallOptions,
): Promise<SyntheticImage> {
  const config = await members.readSmall(image.config, MAX_DOCUMENT_BYTES, options);
  const configDigest = digestOf(config);
  const promised = /^([0-9a-f]{64})\.json$/.exec(image.config)?.[1];
  if (promised !== undefined && configDigest !== `sha256:${promised}`) {
    const state = `the digest of ${quote(image.config)} is ${configDigest}`;
    throw new RefsError("digest_mismatch", `cannot verify the config in ${quote(members.path)}: ${state}`);
  }
  const { diffIDs } = parseImageConfig(config);
  if (diffIDs.length !== image.layers.length) {
    throw invalid(members, `the config names ${diffIDs.length} layers, the archive has ${image.layers.length}`);
  }
  const layers: Layer[] = [];
  for (const [index, name] of image.layers.entries()) {
    const layer = await describeLayer(members, members.locate(name), options);
    const { mediaType, digest } = layer.descriptor;
    if (mediaType === OCI_LAYER_TAR && digest !== diffIDs[index]) {
      const state = `the digest of ${quote(name)} is ${digest}`;
      throw new RefsError(
        "digest_mismatch",
        `cannot verify diffID ${diffIDs[index]} in ${quote(members.path)}: ${state}`,
      );
    }
    layers.push(layer);
  }
  const manifest = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: configDigest, size: config.byteLength },
      layers: layers.map(({ descriptor }) => descriptor),
    }),
  );
  const descriptor = { mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.byteLength };
  return {
    descriptor,
    content(digest) {
      if (digest === descriptor.digest) return once(manifest);
      if (digest === configDigest) return once(config);
      const layer = layers.find(({ descriptor }) => descriptor.digest === digest);
      return layer === undefined ? undefined : members.chunks(layer.part);
    },
  };
}

async function describeLayer(members: ArchiveMembers, part: FilePart, { signal }: CallOptions): Promise<Layer> {
  const digester = createDigester();
  let start: Uint8Array | undefined;
  for await (const chunk of members.chunks(part)) {
    signal?.throwIfAborted();
    start ??= chunk;
    digester.update(chunk);
  }
  const mediaType = mediaTypeOf(start ?? new Uint8Array());
  return { descriptor: { mediaType, digest: digester.digest(), size: part.size }, part };
}

function mediaTypeOf(start: Uint8Array): string {
  if (start[0] === 0x1f && start[1] === 0x8b) return OCI_LAYER_GZIP;
  const isZstd = start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd;
  return isZstd ? OCI_LAYER_ZSTD : OCI_LAYER_TAR;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
