import {
  type CallOptions,
  type Digest,
  familiarReference,
  formatReference,
  isManifestType,
  type Manifest,
  parseManifest,
  parseReference,
  quote,
  withDefaultTag,
} from "@lamella/refs";

import { MANIFEST_JSON } from "./docker-archive-manifest.js";
import { OciClientError } from "./errors.js";
import { blobPath } from "./layout-reader.js";
import type { ManifestBytes } from "./manifest-put.js";
import { type ArchiveExtras, type ArchiveSink, createArchiveSink } from "./oci-archive-writer.js";

interface Listed {
  readonly name: string | undefined;
  readonly manifest: Manifest;
}

/** By this containerd, and Docker over it, know the image's full name. */
const CONTAINERD_NAME = "io.containerd.image.name";

/**
 * Begins an archive that `docker load`, `podman load` and skopeo's `docker-archive:FILE` read. It is an OCI layout as well, as Docker writes
 * archives since version 25: layers stay packed as they are and every digest is kept. A name is a reference (`alpine:3.20`).
 *
 * An index is refused, and so is a name that is no reference: `unsupported`. `commit` refuses an image with a layer that was not
 * pushed, as a foreign one.
 */
export async function createDockerArchive(path: string, options: CallOptions = {}): Promise<ArchiveSink> {
  return createArchiveSink(path, dockerExtras(path), options);
}

function dockerExtras(path: string): ArchiveExtras {
  const images: Listed[] = [];
  return {
    accept(name, { bytes, mediaType }: ManifestBytes) {
      if (!isManifestType(mediaType)) {
        throw refused(path, "a docker-archive holds single images, not an index: choose a platform");
      }
      if (name !== undefined) checkName(path, name);
      images.push({ name, manifest: parseManifest(bytes, mediaType) });
    },
    annotations: (name) =>
      name === undefined ? {} : { [CONTAINERD_NAME]: formatReference(withDefaultTag(parseReference(name))) },
    files(holds) {
      for (const { manifest } of images) checkWhole(path, manifest, holds);
      const list = mergeByConfig(images).map(toDockerImage);
      return [[MANIFEST_JSON, new TextEncoder().encode(`${JSON.stringify(list)}\n`)]];
    },
  };
}

/** One image by several names is one entry with several tags; a name that came again has moved. */
function mergeByConfig(images: readonly Listed[]): { manifest: Manifest; names: string[] }[] {
  const merged = new Map<Digest, { manifest: Manifest; names: string[] }>();
  for (const [at, { name, manifest }] of images.entries()) {
    const entry = merged.get(manifest.config.digest) ?? { manifest, names: [] };
    merged.set(manifest.config.digest, entry);
    const isMoved = images.slice(at + 1).some((later) => name !== undefined && later.name === name);
    if (name !== undefined && !isMoved) entry.names.push(name);
  }
  return [...merged.values()];
}

function toDockerImage({ manifest, names }: { manifest: Manifest; names: readonly string[] }): object {
  return {
    Config: blobPath(manifest.config.digest),
    RepoTags: names.map((name) => familiarReference(withDefaultTag(parseReference(name)))),
    Layers: manifest.layers.map(({ digest }) => blobPath(digest)),
  };
}

function checkName(path: string, name: string): void {
  let cause: unknown;
  try {
    if (parseReference(name).digest === undefined) return;
  } catch (error) {
    cause = error;
  }
  const message = `cannot write ${quote(name)} to ${quote(path)}: a name in a docker-archive is a repository with a tag`;
  throw new OciClientError("unsupported", message, { cause });
}

function checkWhole(path: string, { config, layers }: Manifest, holds: (digest: Digest) => boolean): void {
  const missing = [config, ...layers].find(({ digest }) => !holds(digest));
  if (missing !== undefined)
    throw refused(path, `${missing.digest} of the image was not copied, and a docker-archive needs it`);
}

function refused(path: string, state: string): OciClientError {
  return new OciClientError("unsupported", `cannot write archive ${quote(path)}: ${state}`);
}
