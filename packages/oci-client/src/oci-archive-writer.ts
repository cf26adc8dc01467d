import {
  type CallOptions,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestOf,
  isDigest,
  quote,
} from "@lamella/refs";

import { type ArchiveWriter, createArchiveWriter } from "./archive-writer.js";
import type { PushOptions } from "./blob-upload.js";
import { OciClientError } from "./errors.js";
import type { ImageSink } from "./image-sink.js";
import { EMPTY_INDEX, LAYOUT_FILE, withManifest } from "./layout-index-document.js";
import { blobPath } from "./layout-reader.js";
import type { ManifestBytes } from "./manifest-put.js";
import { letGo, openVerified, type PushContent } from "./push.js";

/** Images on their way into an archive. There is no file by its name before `commit`; disposed of without it, nothing is left. */
export interface ArchiveSink extends ImageSink, AsyncDisposable {
  /** Verified as it is written. Blobs asked for at once are written one after the other: a tar has one end. */
  push(descriptor: Descriptor, content: PushContent, options?: PushOptions): Promise<void>;
  /** Writes what lists the images, syncs the file and gives it its name; a file that has the name is replaced. */
  commit(options?: CallOptions): Promise<void>;
}

/** What a kind of archive has beside the layout. */
export interface ArchiveExtras {
  /** Called before a manifest is listed; throws for one that the archive cannot hold. */
  accept(name: string | undefined, manifest: ManifestBytes): void;
  annotations(name: string | undefined): Readonly<Record<string, string>>;
  /** The files to add at the end; `holds` tells which blobs were written. */
  files(holds: (digest: Digest) => boolean): Iterable<readonly [name: string, content: Uint8Array]>;
}

const NOTHING: ArchiveExtras = { accept: () => {}, annotations: () => ({}), files: () => [] };

/**
 * Begins an OCI layout in a tar, as skopeo reads it with `oci-archive:FILE`. Every image keeps its digest; an archive may hold several,
 * each under its name. The same images in the same order give the same file.
 */
export async function createOciArchive(path: string, options: CallOptions = {}): Promise<ArchiveSink> {
  return createArchiveSink(path, NOTHING, options);
}

export async function createArchiveSink(
  path: string,
  extras: ArchiveExtras,
  { signal }: CallOptions,
): Promise<ArchiveSink> {
  signal?.throwIfAborted();
  const archive: ArchiveWriter = await createArchiveWriter(path);
  const written = new Set<Digest>();
  let index = EMPTY_INDEX;
  let last: Promise<void> = Promise.resolve();

  /** Each waits for the one before it, whatever became of that. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  }

  function push(descriptor: Descriptor, content: PushContent, options: PushOptions): Promise<void> {
    return inTurn(async () => {
      options.signal?.throwIfAborted();
      const { digest, size } = descriptor;
      if (written.has(digest)) return letGo(content);
      await archive.add(blobPath(digest), size, openVerified(descriptor, content, options));
      written.add(digest);
    });
  }

  async function pushManifest(name: string, manifest: ManifestBytes, options: CallOptions): Promise<Descriptor> {
    const { bytes, mediaType } = manifest;
    const digest = digestOf(bytes, isDigest(name) ? digestAlgorithm(name) : "sha256");
    if (isDigest(name) && name !== digest) {
      const state = `the digest of the manifest is ${digest}`;
      throw new OciClientError("rejected", `cannot write ${quote(name)} to ${quote(path)}: ${state}`);
    }
    const listedName = isDigest(name) ? undefined : name;
    extras.accept(listedName, manifest);
    const descriptor = { mediaType, digest, size: bytes.byteLength };
    await push(descriptor, once(bytes), options);
    const annotations = extras.annotations(listedName);
    const listed = Object.keys(annotations).length === 0 ? descriptor : { ...descriptor, annotations };
    index = withManifest(index, listed, listedName);
    return descriptor;
  }

  return {
    push: async (descriptor, content, options = {}) => push(descriptor, content, options),
    pushManifest: async (name, manifest, options = {}) => pushManifest(name, manifest, options),
    async commit(options = {}) {
      await inTurn(async () => {
        options.signal?.throwIfAborted();
        const files = [
          ...extras.files((digest) => written.has(digest)),
          ["oci-layout", LAYOUT_FILE],
          ["index.json", index],
        ];
        for (const [name, content] of files as [string, Uint8Array][]) {
          await archive.add(name, content.byteLength, once(content));
        }
        await archive.publish();
      });
    },
    [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose](),
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
