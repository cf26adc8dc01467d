import { join } from "node:path";

import {
  type CallOptions,
  type Descriptor,
  detectMediaType,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  type ImageSource,
  type Index,
  isDigest,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  quote,
  RefsError,
  verifyContent,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { openPlainFile, type PlainFile, readPlainFile } from "./plain-file.js";

/** Images in a directory (OCI image-spec, image-layout.md). Nothing is kept open between calls, so there is nothing to close. */
export interface OciLayout extends ImageSource {
  /**
   * By the annotation `org.opencontainers.image.ref.name`, or by digest; `""` is the sole manifest of the layout.
   * @throws {OciClientError} `not_found`, `name_ambiguous`, `layout_invalid`
   */
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
  /** Streamed and verified. A blob that is a symbolic link or no regular file is refused: `layout_invalid`. */
  fetch(descriptor: Descriptor, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** The names of all tagged manifests, in the order of the index. */
  names(options?: CallOptions): Promise<string[]>;
}

const NAME_ANNOTATION = "org.opencontainers.image.ref.name";
const LAYOUT_VERSION = "1.0.0";
const MAX_LAYOUT_FILE_BYTES = 4096;

/**
 * Opens an OCI layout to read from.
 * @throws {OciClientError} `not_found` when the directory is no layout, `layout_invalid` when its version is not ours
 * @throws {RefsError} `document_invalid`, `document_too_large` for its index
 */
export async function openOciLayout(directory: string, options: CallOptions = {}): Promise<OciLayout> {
  options.signal?.throwIfAborted();
  await checkVersion(directory, options);
  await readIndex(directory, options);
  return {
    resolve: async (name, options = {}) => resolve(directory, name, options),
    fetch: (descriptor, options = {}) => fetch(directory, descriptor, options),
    names: async (options = {}) => {
      const { manifests } = await readIndex(directory, options);
      const names = manifests.map(nameOf).filter((name) => name !== undefined);
      return [...new Set(names)];
    },
  };
}

async function checkVersion(directory: string, options: CallOptions): Promise<void> {
  const bytes = await readPlainFile(join(directory, "oci-layout"), MAX_LAYOUT_FILE_BYTES, options);
  let version: unknown;
  try {
    version = (JSON.parse(new TextDecoder().decode(bytes)) as { imageLayoutVersion?: unknown } | null)
      ?.imageLayoutVersion;
  } catch {
    version = undefined;
  }
  if (version !== LAYOUT_VERSION) {
    const message = `cannot read OCI layout ${quote(directory)}: its version is not ${LAYOUT_VERSION}`;
    throw new OciClientError("layout_invalid", message);
  }
}

async function readIndex(directory: string, options: CallOptions): Promise<Index> {
  return parseIndex(await readPlainFile(join(directory, "index.json"), MAX_DOCUMENT_BYTES, options));
}

async function resolve(directory: string, name: string, options: CallOptions): Promise<Descriptor> {
  const { manifests } = await readIndex(directory, options);
  const found = manifests.filter((descriptor) => isNamed(descriptor, name));
  const [first] = found;
  if (first === undefined && isDigest(name)) return describeBlob(directory, name, options);
  const thing = name === "" ? "the image" : quote(name);
  if (first === undefined) {
    throw new OciClientError("not_found", `cannot resolve ${thing} in OCI layout ${quote(directory)}: there is none`);
  }
  if (found.some(({ digest }) => digest !== first.digest)) {
    const state = name === "" ? `it holds ${found.length}, name one` : `${found.length} images have this name`;
    throw new OciClientError("name_ambiguous", `cannot resolve ${thing} in OCI layout ${quote(directory)}: ${state}`);
  }
  return first;
}

function isNamed(descriptor: Descriptor, name: string): boolean {
  return name === "" || descriptor.digest === name || nameOf(descriptor) === name;
}

function nameOf({ annotations }: Descriptor): string | undefined {
  return annotations?.[NAME_ANNOTATION];
}

/** A manifest that only another index of the layout names. */
async function describeBlob(directory: string, digest: Digest, options: CallOptions): Promise<Descriptor> {
  const bytes = await readPlainFile(blobPath(directory, digest), MAX_DOCUMENT_BYTES, options);
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual !== digest) {
    throw new RefsError("digest_mismatch", `cannot verify ${digest}: the digest of the blob is ${actual}`);
  }
  return { mediaType: detectMediaType(bytes), digest, size: bytes.byteLength };
}

async function* fetch(
  directory: string,
  descriptor: Descriptor,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  const file: PlainFile = await openPlainFile(blobPath(directory, descriptor.digest));
  try {
    yield* verifyContent(descriptor, file.chunks(), options);
  } finally {
    await file.close();
  }
}

function blobPath(directory: string, digest: Digest): string {
  return join(directory, "blobs", digestAlgorithm(digest), digestHex(digest));
}
