import {
  type CallOptions,
  type Descriptor,
  type Digest,
  digestOf,
  familiarReference,
  isDigest,
  type ImageSource,
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  parseManifest,
  parseReference,
  quote,
  verifyContent,
  withDefaultTag,
} from "@lamella/refs";

import { type ArchiveMembers, openArchiveMembers } from "./archive-members.js";
import { synthesizeImage, type SyntheticImage } from "./docker-archive-image.js";
import { type DockerArchiveImage, invalid, readDockerManifest } from "./docker-archive-manifest.js";
import { OciClientError } from "./errors.js";
import { openLayout, readIndex } from "./layout-reader.js";
import { archiveFiles } from "./oci-archive.js";
import type { OciLayout } from "./oci-layout.js";

/** Images in a tar of `docker save`, read in place. Holds the file open: close it when done. */
export interface DockerArchive extends ImageSource, AsyncDisposable {
  /**
   * By one of its tags, in short or in full (`alpine:3.20`), by the digest of its manifest, or `""` for the sole image.
   * @throws {OciClientError} `not_found`, `name_ambiguous`, `archive_invalid`
   */
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
  /** All tags, in short. */
  names(options?: CallOptions): Promise<string[]>;
  /** May be called twice. */
  close(): Promise<void>;
}

const MAX_NESTING = 4;

/**
 * Opens what `docker save`, `podman save` or `skopeo copy … docker-archive:FILE` has written. An archive that is an OCI layout as well (Docker
 * 25 and later) gives the manifests that it holds; for an older one, which holds none, a manifest is made of the config and the layers as they
 * are: the same archive gives the same digest. A layer that is a plain tar is checked against its diffID.
 *
 * @throws {OciClientError} `not_found`, `archive_invalid`; `unsupported` for one that is compressed
 */
export async function openDockerArchive(path: string, options: CallOptions = {}): Promise<DockerArchive> {
  const members = await openArchiveMembers(path, options);
  try {
    const images = await readDockerManifest(members, options);
    const hasLayout = members.has("oci-layout") && members.has("index.json");
    const layout = hasLayout ? await openLayout(archiveFiles(members), options) : undefined;
    return createArchive(members, images, layout);
  } catch (error) {
    await members.close();
    throw error;
  }
}

function createArchive(
  members: ArchiveMembers,
  images: readonly DockerArchiveImage[],
  layout: OciLayout | undefined,
): DockerArchive {
  const made = new Map<DockerArchiveImage, Promise<SyntheticImage>>();

  async function synthetic(image: DockerArchiveImage, options: CallOptions): Promise<SyntheticImage> {
    const known = made.get(image);
    if (known !== undefined) return known;
    const making = synthesizeImage(members, image, options);
    made.set(image, making);
    making.catch(() => made.delete(image));
    return making;
  }

  async function resolve(name: string, options: CallOptions): Promise<Descriptor> {
    options.signal?.throwIfAborted();
    if (isDigest(name)) return resolveDigest(name, options);
    const image = findImage(members, images, name);
    if (layout !== undefined) {
      const stored = await findStored(members, layout, image, options);
      if (stored !== undefined) return stored;
    }
    return (await synthetic(image, options)).descriptor;
  }

  async function resolveDigest(digest: Digest, options: CallOptions): Promise<Descriptor> {
    if (layout !== undefined) return layout.resolve(digest, options);
    for (const image of images) {
      const { descriptor } = await synthetic(image, options);
      if (descriptor.digest === digest) return descriptor;
    }
    throw missing(members, digest);
  }

  async function* fetch(descriptor: Descriptor, options: CallOptions): AsyncGenerator<Uint8Array, void, undefined> {
    options.signal?.throwIfAborted();
    const content = await findMade(descriptor.digest);
    if (content !== undefined) yield* verifyContent(descriptor, content, options);
    else if (layout !== undefined) yield* layout.fetch(descriptor, options);
    else throw missing(members, descriptor.digest);
  }

  async function findMade(digest: Digest): Promise<AsyncIterable<Uint8Array> | undefined> {
    for (const making of made.values()) {
      const content = (await making).content(digest);
      if (content !== undefined) return content;
    }
    return undefined;
  }

  return {
    resolve: async (name, options = {}) => resolve(name, options),
    fetch: (descriptor, options = {}) => fetch(descriptor, options),
    async names(options = {}) {
      options.signal?.throwIfAborted();
      return [...new Set(images.flatMap(({ repoTags }) => repoTags.map(shortName)))];
    },
    close: members.close,
    [Symbol.asyncDispose]: members.close,
  };
}

function findImage(members: ArchiveMembers, images: readonly DockerArchiveImage[], name: string): DockerArchiveImage {
  const wanted = shortName(name);
  const found = images.filter(({ repoTags }) => name === "" || repoTags.some((tag) => shortName(tag) === wanted));
  const [first] = found;
  if (first === undefined) throw missing(members, name);
  if (found.length > 1) {
    const state = name === "" ? `it holds ${found.length}, name one` : `${found.length} images have this name`;
    const thing = name === "" ? "the image" : quote(name);
    throw new OciClientError("name_ambiguous", `cannot resolve ${thing} in ${quote(members.path)}: ${state}`);
  }
  return first;
}

/** The manifest that the layout within the archive holds for an image: the one with its config. */
async function findStored(
  members: ArchiveMembers,
  layout: OciLayout,
  { config }: DockerArchiveImage,
  options: CallOptions,
): Promise<Descriptor | undefined> {
  const wanted = digestOf(await members.readSmall(config, MAX_DOCUMENT_BYTES, options));
  const files = archiveFiles(members);
  async function search(descriptors: readonly Descriptor[], depth: number): Promise<Descriptor | undefined> {
    if (depth > MAX_NESTING) throw invalid(members, `its indexes nest deeper than ${MAX_NESTING}`);
    for (const descriptor of descriptors) {
      const { mediaType, digest } = descriptor;
      if (!isManifestType(mediaType) && !isIndexType(mediaType)) continue;
      // Of an image for several platforms, docker save keeps the index but only one platform's manifest.
      if (!members.has(`blobs/${digest.replace(":", "/")}`)) continue;
      const bytes = await files.readSmall(`blobs/${digest.replace(":", "/")}`, MAX_DOCUMENT_BYTES, options);
      const found = isIndexType(mediaType)
        ? await search(parseIndex(bytes, mediaType).manifests, depth + 1)
        : parseManifest(bytes, mediaType).config.digest === wanted
          ? await layout.resolve(digest, options)
          : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return search((await readIndex(files, options)).manifests, 1);
}

function shortName(name: string): string {
  try {
    return familiarReference(withDefaultTag(parseReference(name)));
  } catch {
    return name;
  }
}

function missing(members: ArchiveMembers, name: string): OciClientError {
  return new OciClientError("not_found", `cannot resolve ${quote(name)} in ${quote(members.path)}: there is none`);
}
