import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { memoryStorage } from "../src/testing.js";
import { bytesOf, chunksOf } from "./fixture.js";

const BYTES = bytesOf("hello");
const DIGEST = digestOf(BYTES);

describe("memoryStorage()", () => {
  it("gives room back when blobs are deleted, uploads aborted and blobs pushed again", async () => {
    const { blobs, uploads } = memoryStorage({ maxBytes: 2 * BYTES.length });
    for (let round = 0; round < 5; round++) {
      const kept = await uploads.begin("a");
      await kept.append(chunksOf(BYTES), { offset: 0 });
      await kept.commit(DIGEST);
      const dropped = await uploads.begin("a");
      await dropped.append(chunksOf(BYTES), { offset: 0 });
      await dropped.abort();
    }
    expect(await blobs.delete?.("a", DIGEST)).toBe(true);
    expect(await blobs.delete?.("a", DIGEST)).toBe(false);
    const upload = await uploads.begin("a");
    await upload.append(chunksOf(BYTES, BYTES), { offset: 0 });
    await expect(upload.append(chunksOf(BYTES), { offset: 10 })).rejects.toMatchObject({ code: "storage_full" });
  });

  it("keeps a blob for each repository that has it, and its bytes as long as any does", async () => {
    const { blobs, uploads } = memoryStorage({ maxBytes: BYTES.length });
    const upload = await uploads.begin("a");
    await upload.append(chunksOf(BYTES), { offset: 0 });
    await upload.commit(DIGEST);
    expect(await blobs.stat("b", DIGEST)).toBeUndefined();
    expect(await blobs.mount("b", DIGEST, { from: "c" })).toBe(false);
    expect(await blobs.mount("b", DIGEST, { from: "a" })).toBe(true);
    expect(await blobs.mount("c", DIGEST, {})).toBe(true);
    for (const repository of ["a", "c"]) expect(await blobs.delete?.(repository, DIGEST)).toBe(true);
    expect(await blobs.stat("a", DIGEST)).toBeUndefined();
    expect(await blobs.stat("b", DIGEST)).toBe(BYTES.length);
    expect(await blobs.delete?.("b", DIGEST)).toBe(true);
    expect(await blobs.mount("a", DIGEST, {})).toBe(false);
  });

  it("rejects every call with the reason of an aborted signal", async () => {
    const { blobs, manifests } = memoryStorage();
    const signal = AbortSignal.abort(new Error("gone"));
    const manifest = { mediaType: "application/json", digest: DIGEST, size: 5 };
    const calls = [
      blobs.stat("a", DIGEST, { signal }),
      blobs.mount("b", DIGEST, { signal }),
      blobs.delete?.("a", DIGEST, { signal }),
      blobs.read("a", DIGEST, { offset: 0, length: 1, signal })[Symbol.asyncIterator]().next(),
      manifests.resolve("a", "v1", { signal }),
      manifests.put("a", manifest, { signal }),
      manifests.delete("a", "v1", { signal }),
      manifests.referrers("a", DIGEST, { limit: 1, signal }),
      manifests.tags("a", { limit: 1, signal }),
      manifests.repositories({ limit: 1, signal }),
    ];
    for (const call of calls) await expect(call).rejects.toBe(signal.reason);
    expect(await manifests.resolve("a", DIGEST)).toBeUndefined();
  });
});
