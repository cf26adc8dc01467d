import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Descriptor } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { openImageTree } from "../src/image-tree.js";
import type { Image } from "../src/image.js";
import type { LayerProgress } from "../src/progress.js";
import { pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";
import type { SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const NAME = "example.com/sample:latest";

let directory = "";
let store: ImageStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "pull-"));
  store = await openImageStore(directory);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

const pull = (source: SampleSource): Promise<Image> => pullImage(store, source, "latest", { platform, name: NAME });

async function readFiles(image: Image): Promise<Record<string, string>> {
  const tree = await openImageTree(store.content, image);
  const files: Record<string, string> = {};
  try {
    for await (const entry of tree.entries()) {
      if (entry.kind !== "file") continue;
      const parts: Buffer[] = [];
      for await (const chunk of tree.read(entry)) parts.push(Buffer.from(chunk));
      files[entry.path] = Buffer.concat(parts).toString();
    }
  } finally {
    await tree[Symbol.asyncDispose]();
  }
  return files;
}

/** Long enough to be stopped in the middle, also when it is packed. */
const LONG = [{ path: "a", text: Array.from({ length: 3000 }, (_, n) => `${n * n}`).join(" ") }];

const TWO_LAYERS = [
  { path: "a", text: "from below" },
  { path: "b", text: "beside" },
];

describe("pullImage()", () => {
  it("brings an image whose tree can be read without its source", async () => {
    const image = await pull(await sampleSource({ layers: [...TWO_LAYERS, { path: "a", text: "from above" }] }));
    expect(await readFiles(image)).toEqual({ a: "from above", b: "beside" });
    expect(await store.resolve(NAME)).toMatchObject(image.root);
  });

  it("fetches nothing twice", async () => {
    const source = await sampleSource({ layers: TWO_LAYERS });
    await pull(source);
    const before = source.fetched.length;
    expect(before).toBe(4);
    await pull(source);
    expect(source.fetched.length).toBe(before);
  });

  it("fetches nothing that another one is fetching, over another opening of the store too", async () => {
    const source = await sampleSource({ layers: TWO_LAYERS });
    await using other = await openImageStore(directory);
    const images = await Promise.all([
      pull(source),
      pullImage(other, source, "latest", { platform, name: NAME }),
      pullImage(other, source, "latest", { platform, name: "example.com/other:latest" }),
    ]);
    for (const { digest } of source.layers) expect(source.fetched.filter((each) => each === digest)).toEqual([digest]);
    for (const image of images) expect(await readFiles(image)).toEqual({ a: "from below", b: "beside" });
  });

  it("brings what another one could not", async () => {
    const source = await sampleSource({ layers: TWO_LAYERS });
    const failing: SampleSource = {
      ...source,
      async *fetch(descriptor, call) {
        if (source.layers.some(({ digest }) => digest === descriptor.digest)) throw new Error("the line is down");
        yield* source.fetch(descriptor, call);
      },
    };
    const [failed, brought] = await Promise.allSettled([pull(failing), pull(source)]);
    expect(failed).toMatchObject({ reason: { message: "the line is down" } });
    expect(brought.status).toBe("fulfilled");
  });

  it("says what is to be done where the system is in the way, and leaves nothing", async () => {
    const source = await sampleSource({ layers: TWO_LAYERS });
    const [first, second] = source.layers;
    const codes = { ENOSPC: "no_space", EMFILE: "too_many_files", EIO: "io_failed" };
    for (const [errno, code] of Object.entries(codes)) {
      const failing: SampleSource = {
        ...source,
        async *fetch(descriptor, call) {
          // the first has begun when the second fails, as a full disk fails it
          if (descriptor.digest === second!.digest) throw Object.assign(new Error(errno), { code: errno });
          for await (const chunk of source.fetch(descriptor, call)) {
            yield chunk;
            if (descriptor.digest === first!.digest) await sleep(20);
          }
        },
      };
      await expect(pull(failing)).rejects.toMatchObject({ name: "ImageStoreError", code, cause: { code: errno } });
      expect(readdirSync(join(directory, "ingest"))).toEqual([]);
    }
  });

  it("fetches a layer that occurs twice once and keeps both places", async () => {
    const layer = { path: "a", text: "twice" };
    const source = await sampleSource({ layers: [layer, layer] });
    const image = await pull(source);
    expect(image.layers.length).toBe(2);
    expect(source.fetched.filter((digest) => digest === source.layers[0]?.digest).length).toBe(1);
    expect(await readFiles(image)).toEqual({ a: "twice" });
  });

  it("picks the platform out of an index", async () => {
    const image = await pull(await sampleSource({ index: true }));
    expect(image.descriptor.digest).not.toBe(image.root.digest);
    expect(await readFiles(image)).toEqual({ "etc/hello": "hello\n" });
  });

  it("says what platforms there are when the one asked for is not among them", async () => {
    const source = await sampleSource({ index: true, architecture: "s390x" });
    await expect(pull(source)).rejects.toMatchObject({
      code: "platform_unavailable",
      message: expect.stringContaining("it has linux/s390x"),
    });
  });

  it("makes no blobs and no name where only the tree is wanted", async () => {
    const source = await sampleSource();
    const image = await pullImage(store, source, "latest", { platform });
    expect(await readFiles(image)).toEqual({ "etc/hello": "hello\n" });
    expect(await store.content.stat(source.layers[0]!.digest)).toBeUndefined();
    expect(await store.tags()).toEqual([]);
  });

  it("refuses a layer that is not its digest and keeps nothing of it", async () => {
    const source = await sampleSource({ layers: TWO_LAYERS });
    const [layer] = source.layers;
    const bytes = Uint8Array.from(source.blobs.get(layer!.digest)!);
    // the header's time: the tar stays the same, the digest does not
    bytes[4] = 1;
    source.blobs.set(layer!.digest, bytes);
    await expect(pull(source)).rejects.toMatchObject({ code: "digest_mismatch" });
    await expectNothingOf(source);
  });

  it("refuses a tar that is not its diffID and keeps nothing of it", async () => {
    const source = await sampleSource({ wrongDiffIDs: true });
    await expect(pull(source)).rejects.toMatchObject({ code: "digest_mismatch" });
    await expectNothingOf(source);
  });

  it("makes a layer archive that went bad anew from the blob", async () => {
    const source = await sampleSource();
    const image = await pull(source);
    const [archive] = readdirSync(join(directory, "layers"));
    writeFileSync(join(directory, "layers", archive!, "idx"), "not an index");
    const before = source.fetched.length;
    await pull(source);
    expect(source.fetched.length).toBe(before);
    expect(await readFiles(image)).toEqual({ "etc/hello": "hello\n" });
  });

  it("makes a layer archive of version 1 anew from the blob", async () => {
    const source = await sampleSource();
    const image = await pull(source);
    const [archive = ""] = readdirSync(join(directory, "layers"));
    const path = join(directory, "layers", archive, "idx");
    const current = readFileSync(path);
    const old = Buffer.concat([Buffer.from("LAMELLA\0\x01\0\0\0\0\0\0\0", "latin1"), Buffer.alloc(160)]);
    writeFileSync(path, Buffer.concat([old, createHash("sha256").update(old).digest()]));
    await expect(readFiles(image)).rejects.toMatchObject({
      code: "archive_invalid",
      message: expect.stringContaining("its version is 1, not 2: remove the archive"),
    });
    const before = source.fetched.length;
    await pull(source);
    expect(source.fetched.length).toBe(before);
    expect(readFileSync(path)).toEqual(current);
    expect(await readFiles(image)).toEqual({ "etc/hello": "hello\n" });
  });

  it("reports each layer from waiting to done", async () => {
    const events: LayerProgress[] = [];
    const source = await sampleSource();
    await pullImage(store, source, "latest", { platform, onProgress: (event) => events.push(event) });
    expect(events[0]).toMatchObject({ state: "waiting", doneBytes: 0 });
    expect(events.at(-1)).toMatchObject({ state: "done", cached: false, doneBytes: source.layers[0]!.size });
    expect(events.filter(({ state }) => state === "pulling").length).toBeGreaterThan(1);
    events.length = 0;
    await pullImage(store, source, "latest", { platform, onProgress: (event) => events.push(event) });
    expect(events.at(-1)).toMatchObject({ state: "done", cached: true });
  });

  it("stops when it is told to and shows nothing half done", async () => {
    const source = await sampleSource({ layers: LONG });
    await expectStopped(source);
    expect(existsSync(store.content.blobPath(source.layers[0]!.digest))).toBe(false);
    expect(await store.tags()).toEqual([]);
    expect(readdirSync(join(directory, "layers"))).toEqual([]);
  });

  it("goes on where a pull before it was stopped", async () => {
    const source = await sampleSource({ layers: LONG, ranges: "served" });
    await expectStopped(source);
    expect(await readFiles(await pull(source))).toEqual({ a: LONG[0]!.text });
    const [{ size }] = source.layers as [Descriptor];
    expect(source.ranges).toEqual([{ offset: expect.any(Number), length: expect.any(Number) }]);
    expect(source.ranges[0]!.offset).toBeGreaterThan(0);
    expect(source.ranges[0]!.offset + source.ranges[0]!.length).toBe(size);
    expect(readdirSync(join(directory, "ingest"))).toEqual([]);
  });

  it.each(["none", "refused"] as const)("begins anew where ranges are %s", async (ranges) => {
    const source = await sampleSource({ layers: LONG, ranges });
    await expectStopped(source);
    expect(await readFiles(await pull(source))).toEqual({ a: LONG[0]!.text });
  });

  it("begins anew where what was left is damaged", async () => {
    const source = await sampleSource({ layers: LONG, ranges: "served" });
    await expectStopped(source);
    const [part] = readdirSync(join(directory, "ingest"));
    writeFileSync(join(directory, "ingest", part!), "x".repeat(60));
    expect(await readFiles(await pull(source))).toEqual({ a: LONG[0]!.text });
    expect(readdirSync(join(directory, "ingest"))).toEqual([]);
  });

  async function expectStopped(source: SampleSource): Promise<void> {
    const abort = new AbortController();
    const onProgress = ({ state, doneBytes }: LayerProgress): void => {
      if (state === "pulling" && doneBytes > 100) abort.abort(new Error("enough"));
    };
    const pulling = pullImage(store, source, "latest", { platform, name: NAME, onProgress, signal: abort.signal });
    await expect(pulling).rejects.toThrow("enough");
  }

  async function expectNothingOf(source: SampleSource): Promise<void> {
    expect(existsSync(store.content.blobPath(source.layers[0]!.digest))).toBe(false);
    const refused = source.layers[0]!.digest.replace(":", "-");
    expect(readdirSync(join(directory, "ingest")).filter((name) => name.startsWith(refused))).toEqual([]);
    const layers = join(directory, "layers");
    expect((existsSync(layers) ? readdirSync(layers) : []).filter((name) => name.includes("tmp"))).toEqual([]);
    expect(await store.tags()).toEqual([]);
  }
});
