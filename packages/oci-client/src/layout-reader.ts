import {
  type CallOptions,
  type Descriptor,
  detectMediaType,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  type Index,
  isDigest,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  quote,
  RefsError,
  verifyContent,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";
import type { OciLayout } from "./oci-layout.js";

/** The files of an OCI layout, wherever they are: in a directory, in a tar. Paths have `/` between their components. */
export interface LayoutFiles {
  /** For messages: `OCI layout "/srv/images"`. */
  readonly title: string;
  /**
   * Reads a small file whole.
   * @throws {OciClientError} `not_found`, `layout_invalid` for what is no regular file, `too_large`
   */
  readSmall(path: string, limitBytes: number, options: CallOptions): Promise<Uint8Array>;
  /** Not verified; errors as with {@link LayoutFiles.readSmall}. */
  chunks(path: string): AsyncIterable<Uint8Array>;
}

export const NAME_ANNOTATION = "org.opencontainers.image.ref.name";
export const LAYOUT_VERSION = "1.0.0";
const MAX_LAYOUT_FILE_BYTES = 4096;

/** Checks that the files are an OCI layout of our version with a valid index, and reads images from them. */
export async function openLayout(files: LayoutFiles, options: CallOptions): Promise<OciLayout> {
  options.signal?.throwIfAborted();
  await checkVersion(files, options);
  await readIndex(files, options);
  return {
    resolve: async (name, options = {}) => resolve(files, name, options),
    fetch: (descriptor, options = {}) => fetch(files, descriptor, options),
    names: async (options = {}) => {
      const { manifests } = await readIndex(files, options);
      const names = manifests.map(nameOf).filter((name) => name !== undefined);
      return [...new Set(names)];
    },
  };
}

export async function readIndex(files: LayoutFiles, options: CallOptions): Promise<Index> {
  return parseIndex(await files.readSmall("index.json", MAX_DOCUMENT_BYTES, options));
}

export function nameOf({ annotations }: Descriptor): string | undefined {
  return annotations?.[NAME_ANNOTATION];
}

export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

async function checkVersion(files: LayoutFiles, options: CallOptions): Promise<void> {
  const bytes = await files.readSmall("oci-layout", MAX_LAYOUT_FILE_BYTES, options);
  let version: unknown;
  try {
    version = (JSON.parse(new TextDecoder().decode(bytes)) as { imageLayoutVersion?: unknown } | null)
      ?.imageLayoutVersion;
  } catch {
    version = undefined;
  }
  if (version !== LAYOUT_VERSION) {
    throw new OciClientError("layout_invalid", `cannot read ${files.title}: its version is not ${LAYOUT_VERSION}`);
  }
}

async function resolve(files: LayoutFiles, name: string, options: CallOptions): Promise<Descriptor> {
  const { manifests } = await readIndex(files, options);
  const found = manifests.filter((descriptor) => isNamed(descriptor, name));
  const [first] = found;
  if (first === undefined && isDigest(name)) return describeBlob(files, name, options);
  const thing = name === "" ? "the image" : quote(name);
  if (first === undefined) {
    throw new OciClientError("not_found", `cannot resolve ${thing} in ${files.title}: there is none`);
  }
  if (found.some(({ digest }) => digest !== first.digest)) {
    const state = name === "" ? `it holds ${found.length}, name one` : `${found.length} images have this name`;
    throw new OciClientError("name_ambiguous", `cannot resolve ${thing} in ${files.title}: ${state}`);
  }
  return first;
}

function isNamed(descriptor: Descriptor, name: string): boolean {
  return name === "" || descriptor.digest === name || nameOf(descriptor) === name;
}

/** A manifest that only another index of the layout names. */
async function describeBlob(files: LayoutFiles, digest: Digest, options: CallOptions): Promise<Descriptor> {
  const bytes = await files.readSmall(blobPath(digest), MAX_DOCUMENT_BYTES, options);
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual !== digest) {
    throw new RefsError("digest_mismatch", `cannot verify ${digest}: the digest of the blob is ${actual}`);
  }
  return { mediaType: detectMediaType(bytes), digest, size: bytes.byteLength };
}

async function* fetch(
  files: LayoutFiles,
  descriptor: Descriptor,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  yield* verifyContent(descriptor, files.chunks(blobPath(descriptor.digest)), options);
}
