import type { Repository } from "@lamella/oci-client";
import { type CallOptions, type Descriptor, type Digest, digestOf, OCI_MANIFEST, parseManifest } from "@lamella/refs";
import { beforeAll, describe, expect, it } from "vitest";

import {
  makePlainIndex,
  openPlainLayer,
  PLAIN_INDEX_TYPE,
  pushedPlainIndexes,
  pushPlainIndexes,
  verifyPlainIndex,
} from "../../src/index.js";
import { decodePlainIndex } from "../../src/plain/index-reader.js";
import { encodePlainIndex } from "../../src/plain/index-writer.js";
import { sampleBytes } from "./gzip-samples.js";
import {
  collect,
  compressions,
  memoryIndexes,
  memoryReader,
  once,
  type SampleBlob,
  sampleTar,
} from "./sample-layers.js";

const SUBJECT: Descriptor = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from("image")), size: 5 };
let blob: SampleBlob;
let other: SampleBlob;
beforeAll(async () => {
  const tars = await Promise.all(
    [1, 2].map((seed) => sampleTar([{ path: "file", bytes: sampleBytes(100_000, seed) }])),
  );
  [blob, other] = tars.map((tar) => compressions(tar).gzip) as [SampleBlob, SampleBlob];
});

const indexOf = (layer: SampleBlob): Promise<Uint8Array> => makePlainIndex(once(layer.bytes), layer);

/** A repository in memory, as far as indexes need one. */
interface Shelf extends Pick<Repository, "push" | "pushManifest" | "referrers" | "fetch"> {
  readonly blobs: Map<Digest, Uint8Array>;
  readonly manifests: Descriptor[];
}

function shelf(): Shelf {
  const blobs = new Map<Digest, Uint8Array>();
  const manifests: Descriptor[] = [];
  return {
    blobs,
    manifests,
    async push(descriptor, content) {
      blobs.set(descriptor.digest, await collect(typeof content === "function" ? content() : content));
    },
    pushManifest(name, { bytes, mediaType }) {
      const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length, artifactType: PLAIN_INDEX_TYPE };
      expect(name).toBe(descriptor.digest);
      const { config, layers } = parseManifest(bytes, mediaType);
      for (const { digest } of [config, ...layers]) expect(blobs.has(digest)).toBe(true);
      blobs.set(descriptor.digest, bytes);
      manifests.push(descriptor);
      return Promise.resolve(descriptor);
    },
    async *referrers(_subject: Digest, { signal }: CallOptions = {}) {
      signal?.throwIfAborted();
      yield* manifests;
    },
    fetch: ({ digest }) => once(blobs.get(digest) ?? new Uint8Array()),
  };
}

describe("pushPlainIndexes()", () => {
  it("has indexes found beside the image, and layers opened without reading them once", async () => {
    const repository = shelf();
    const indexes = [await indexOf(other), await indexOf(blob)];
    await pushPlainIndexes(repository, { subject: SUBJECT, indexes });
    const local = memoryIndexes();
    const store = pushedPlainIndexes(repository, { subject: SUBJECT.digest, local });
    const reader = memoryReader(blob);
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes: store });
    expect(reader.reads).toEqual([]);
    expect(local.kept.size).toBe(0);
    expect((await collect(layer.readContents(0, blob.tar.length))).equals(blob.tar)).toBe(true);
  });

  it("refuses what is no index", async () => {
    const pushed = pushPlainIndexes(shelf(), { subject: SUBJECT, indexes: [new Uint8Array(1000)] });
    await expect(pushed).rejects.toMatchObject({ code: "index_invalid" });
  });

  it("does nothing after an abort", async () => {
    const reason = new Error("enough");
    const repository = shelf();
    const pushed = pushPlainIndexes(repository, { subject: SUBJECT, indexes: [], signal: AbortSignal.abort(reason) });
    await expect(pushed).rejects.toBe(reason);
    expect(repository.blobs.size).toBe(0);
  });
});

describe("pushedPlainIndexes()", () => {
  it("takes what was made here first, and keeps what is made", async () => {
    const local = memoryIndexes();
    const store = pushedPlainIndexes(shelf(), { subject: SUBJECT.digest, local });
    expect(await store.get(blob.descriptor.digest)).toBeUndefined();
    await store.put(blob.descriptor.digest, await indexOf(blob));
    expect(local.kept.has(blob.descriptor.digest)).toBe(true);
    expect(await store.get(blob.descriptor.digest)).toBe(local.kept.get(blob.descriptor.digest));
  });

  it("takes nothing from an artifact of another image or kind, and makes an index that is damaged itself", async () => {
    const repository = shelf();
    await pushPlainIndexes(repository, {
      subject: { ...SUBJECT, digest: digestOf(Buffer.from("another")) },
      indexes: [await indexOf(blob)],
    });
    const index = { mediaType: "application/json", digest: SUBJECT.digest, size: 5 };
    repository.manifests.push({ ...index, artifactType: PLAIN_INDEX_TYPE });
    const local = memoryIndexes();
    const store = pushedPlainIndexes(repository, { subject: SUBJECT.digest, local });
    expect(await store.get(blob.descriptor.digest)).toBeUndefined();
    const damaged = Uint8Array.from(await indexOf(blob));
    damaged[500]! ^= 1;
    const reader = memoryReader(blob);
    const lying = { ...store, get: () => Promise.resolve(damaged) };
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes: lying });
    expect(layer.entries.length).toBeGreaterThan(0);
    expect(local.kept.size).toBe(1);
  });

  it("throws for an index that is not its descriptor's", async () => {
    const repository = shelf();
    const bytes = await indexOf(blob);
    await pushPlainIndexes(repository, { subject: SUBJECT, indexes: [bytes] });
    const changed = Uint8Array.from(bytes);
    changed[500]! ^= 1;
    repository.blobs.set(digestOf(bytes), changed);
    const store = pushedPlainIndexes(repository, { subject: SUBJECT.digest, local: memoryIndexes() });
    await expect(store.get(blob.descriptor.digest)).rejects.toMatchObject({ code: "digest_mismatch" });
  });
});

describe("verifyPlainIndex()", () => {
  it("gives back an index that tells the truth, and finds one that does not", async () => {
    const index = await indexOf(blob);
    expect(Buffer.from(await verifyPlainIndex(index, once(blob.bytes), blob)).equals(index)).toBe(true);
    const said = decodePlainIndex(index);
    const renamed = compressions(await sampleTar([{ path: "elif", bytes: sampleBytes(100_000) }])).gzip;
    const [span] = said.spans;
    const lies = [
      { ...said, diffID: other.diffID },
      { ...said, heads: decodePlainIndex(await indexOf(renamed)).heads },
      { ...said, spans: [{ ...span!, sha256: new Uint8Array(32) }, ...said.spans.slice(1)] },
    ];
    for (const lie of lies) {
      const verified = verifyPlainIndex(encodePlainIndex(lie), once(blob.bytes), blob);
      await expect(verified).rejects.toMatchObject({ code: "index_invalid" });
    }
    await expect(verifyPlainIndex(index, once(other.bytes), blob)).rejects.toThrow("cannot verify");
  });

  it("ends with the signal's reason", async () => {
    const reason = new Error("enough");
    const options = { ...blob, signal: AbortSignal.abort(reason) };
    await expect(verifyPlainIndex(new Uint8Array(), once(blob.bytes), options)).rejects.toBe(reason);
  });
});
