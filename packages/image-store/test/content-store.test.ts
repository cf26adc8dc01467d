import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { digestOf, OCI_LAYER_TAR } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openContentStore } from "../src/content-store.js";
import type { ContentStore } from "../src/content-store.js";

const HELLO = new TextEncoder().encode("hello");
const hello: Descriptor = { mediaType: OCI_LAYER_TAR, digest: digestOf(HELLO), size: HELLO.length };

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of source) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts).toString();
}

let directory = "";
let store: ContentStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "content-"));
  store = await openContentStore(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("the content store", () => {
  it("is an OCI image layout", () => {
    expect(JSON.parse(readFileSync(join(directory, "oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
  });

  it("is refused where the layout is of another version", async () => {
    writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
    await expect(openContentStore(directory)).rejects.toMatchObject({ code: "store_invalid" });
  });

  it("gives back what was pushed, under its digest", async () => {
    await store.push(hello, chunks(HELLO.subarray(0, 2), HELLO.subarray(2)));
    expect(await store.stat(hello.digest)).toBe(5);
    expect(await text(store.fetch(hello))).toBe("hello");
    expect(readFileSync(store.blobPath(hello.digest), "utf8")).toBe("hello");
  });

  it("refuses bytes that are not the digest's and keeps nothing of them", async () => {
    await expect(store.push(hello, chunks(new TextEncoder().encode("hallo")))).rejects.toMatchObject({
      code: "digest_mismatch",
    });
    expect(await store.stat(hello.digest)).toBeUndefined();
    expect(readdirSync(join(directory, "ingest"))).toEqual([]);
  });

  it("makes a blob young that somebody found: by touch(), or by pushing it again", async () => {
    expect(await store.touch(hello.digest)).toBeUndefined();
    await store.push(hello, chunks(HELLO));
    const path = store.blobPath(hello.digest);
    for (const find of [() => store.touch(hello.digest), () => store.push(hello, chunks(HELLO))]) {
      utimesSync(path, 1, 1);
      await find();
      expect(Date.now() - statSync(path).mtimeMs).toBeLessThan(60_000);
    }
    expect(await store.touch(hello.digest)).toBe(5);
    const reason = new Error("enough");
    await expect(store.touch(hello.digest, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("does not read the source of a blob that is there", async () => {
    await store.push(hello, chunks(HELLO));
    await store.push(hello, {
      [Symbol.asyncIterator]: () => {
        throw new Error("was read");
      },
    });
    expect(await store.stat(hello.digest)).toBe(5);
  });

  it("finds a blob that was damaged at rest when it is fetched", async () => {
    await store.push(hello, chunks(HELLO));
    writeFileSync(store.blobPath(hello.digest), "jello");
    await expect(text(store.fetch(hello))).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("reads a range", async () => {
    await store.push(hello, chunks(HELLO));
    expect(await text(store.readRange(hello.digest, 1, 3))).toBe("ell");
    expect(await text(store.readRange(hello.digest, 4, 100))).toBe("o");
  });

  it("reads an open blob into buffers that it is given, from anywhere, also when it was removed", async () => {
    await store.push(hello, chunks(HELLO));
    await using blob = await store.open(hello.digest);
    expect(blob.sizeBytes).toBe(5);
    await store.remove(hello.digest);
    const target = new Uint8Array(3).fill(0x2e);
    const readAt = async (position: number): Promise<[number, string]> => [
      await blob.read(target, position),
      Buffer.from(target).toString(),
    ];
    expect(await readAt(1)).toEqual([3, "ell"]);
    expect(await readAt(4)).toEqual([1, "oll"]);
    expect(await readAt(5)).toEqual([0, "oll"]);
    expect(await readAt(50)).toEqual([0, "oll"]);
    expect(await readAt(0)).toEqual([3, "hel"]);
  });

  it("finds that a blob has shrunk since it was opened", async () => {
    await store.push(hello, chunks(HELLO));
    await using blob = await store.open(hello.digest);
    writeFileSync(store.blobPath(hello.digest), "he");
    expect(await blob.read(new Uint8Array(5), 0)).toBe(2);
    await expect(blob.read(new Uint8Array(5), 2)).rejects.toMatchObject({ code: "store_invalid" });
  });

  it("refuses a blob that is a symlink", async () => {
    mkdirSync(dirname(store.blobPath(hello.digest)), { recursive: true });
    symlinkSync("/etc/passwd", store.blobPath(hello.digest));
    await expect(text(store.fetch(hello))).rejects.toMatchObject({ code: "store_invalid" });
  });

  it("reports what it does not have", async () => {
    await expect(text(store.fetch(hello))).rejects.toMatchObject({ code: "not_found" });
    await expect(store.open(hello.digest)).rejects.toMatchObject({ code: "not_found" });
  });

  it("lists and removes blobs, twice if asked", async () => {
    await store.push(hello, chunks(HELLO));
    const listed: string[] = [];
    for await (const digest of store.blobs()) listed.push(digest);
    expect(listed).toEqual([hello.digest]);
    await store.remove(hello.digest);
    await store.remove(hello.digest);
    expect(existsSync(store.blobPath(hello.digest))).toBe(false);
  });

  it("leaves nothing of an ingest that was not committed", async () => {
    const ingest = await store.ingest();
    await ingest.write(HELLO);
    expect(ingest.size).toBe(5);
    await ingest[Symbol.asyncDispose]();
    expect(readdirSync(join(directory, "ingest"))).toEqual([]);
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(store.push(hello, chunks(HELLO), { signal })).rejects.toThrow("enough");
    await expect(text(store.fetch(hello, { signal }))).rejects.toThrow("enough");
    await expect(store.stat(hello.digest, { signal })).rejects.toThrow("enough");
    await expect(store.open(hello.digest, { signal })).rejects.toThrow("enough");
    await store.push(hello, chunks(HELLO));
    await using blob = await store.open(hello.digest);
    await expect(blob.read(new Uint8Array(1), 0, { signal })).rejects.toThrow("enough");
    await expect(openContentStore(directory, { signal })).rejects.toThrow("enough");
  });
});
