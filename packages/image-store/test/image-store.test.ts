import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf, OCI_INDEX, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { pullImage } from "../src/pull.js";
import type { PullOptions } from "../src/pull.js";
import type { ListedImage } from "../src/stored-image.js";
import { sampleSource } from "./sample-image.js";
import type { SampleOptions, SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const BASE = { path: "base", text: "what both are made from" };
const ALPINE = "docker.io/library/alpine:3.20";

let directory = "";
let store: ImageStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "image-store-"));
  store = await openImageStore(directory);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function reopen(): Promise<void> {
  await store[Symbol.asyncDispose]();
  store = await openImageStore(directory);
}

async function pull(
  name: string,
  of: SampleOptions | SampleSource = {},
  how: Partial<PullOptions> = {},
): Promise<SampleSource> {
  const source = "root" in of ? of : await sampleSource(of);
  await pullImage(store, source, "latest", { platform, name, ...how });
  return source;
}

async function list(filter = {}): Promise<ListedImage[]> {
  const images: ListedImage[] = [];
  for await (const image of store.list(filter)) images.push(image);
  return images;
}

async function namesOf(): Promise<string[]> {
  return (await store.tags()).map(({ name }) => name);
}

async function blobCount(): Promise<number> {
  let count = 0;
  for await (const _ of store.content.blobs()) count++;
  return count;
}

function readIndex(): Descriptor[] {
  return (JSON.parse(readFileSync(join(directory, "index.json"), "utf8")) as { manifests: Descriptor[] }).manifests;
}

function named(name: string): Record<string, string> {
  return { "org.opencontainers.image.ref.name": name };
}

describe("an image of the store", () => {
  it("is found by its name, what people write for it, its digests, and their first digits", async () => {
    const { root } = await pull(ALPINE, { index: true });
    const image = await store.get(ALPINE);
    expect(image).toMatchObject({ names: [ALPINE], digest: root.digest, platform });
    const texts = [
      "alpine:3.20",
      root.digest,
      image.manifestDigest,
      root.digest.slice(7, 14),
      root.digest.slice(0, 14),
    ];
    for (const text of texts) {
      expect((await store.get(text)).manifestDigest).toBe(image.manifestDigest);
    }
    expect((await store.get(`alpine@${root.digest}`)).digest).toBe(root.digest);
  });

  it("is not found by six digits, by another tag or by nothing", async () => {
    const { root } = await pull(ALPINE);
    for (const text of [root.digest.slice(7, 13), "alpine", "", "sha256:", "\0", "no such"]) {
      await expect(store.get(text)).rejects.toMatchObject({ code: "not_found" });
    }
  });

  it("is ambiguous by digits that another has too", async () => {
    const digests = ["0", "1"].map((end) => `sha256:${"abcdef0".padEnd(63, "0")}${end}`);
    await store.database.write(async (queries) => {
      for (const root_digest of digests) {
        const row = { descriptor: "{}", scope: "local", created_at: 0, updated_at: 0 } as const;
        await queries
          .insertInto("tags")
          .values({ ...row, name: root_digest, root_digest: root_digest as never })
          .execute();
      }
    });
    await expect(store.get("abcdef0")).rejects.toMatchObject({ code: "ambiguous" });
    await expect(store.resolve(digests[0]!.slice(7))).resolves.toEqual({});
  });

  it("tells its config, layers and size", async () => {
    const source = await pull(ALPINE, { layers: [BASE, { path: "b", text: "b" }] });
    const { layers, sizeBytes, configDigest, disks, createdAt } = await store.get(ALPINE);
    expect(layers.map(({ descriptor }) => descriptor)).toEqual(source.layers);
    expect(sizeBytes).toBe([...source.blobs.values()].reduce((sum, { length }) => sum + length, 0));
    expect(source.blobs.has(configDigest)).toBe(true);
    expect(disks).toEqual([]);
    expect(Date.now() - createdAt.getTime()).toBeLessThan(60_000);
  });

  it("can be copied and told as JSON with all that is read of it late", async () => {
    await pull(ALPINE);
    const [image] = await list();
    const { platform: os, config, created } = image!;
    expect(os).toEqual(platform);
    expect({ ...image }).toMatchObject({ platform, config, created, names: [ALPINE] });
    expect(JSON.parse(JSON.stringify(image))).toMatchObject({ platform, names: [ALPINE], digest: image!.digest });
    expect(Object.keys(image!)).toEqual(
      expect.arrayContaining(["names", "digest", "platform", "config", "created", "createdAt"]),
    );
  });

  it("is there after the store was closed and opened", async () => {
    await pull(ALPINE);
    const before = await store.get(ALPINE);
    await reopen();
    expect(await store.get(ALPINE)).toEqual(before);
  });

  it("is one of several platforms, chosen by the one asked for", async () => {
    const amd64 = await sampleSource({ architecture: "amd64" });
    const arm64 = await sampleSource({ architecture: "arm64" });
    const manifests = [amd64, arm64].map(({ root }, at) => ({
      ...root,
      platform: { os: "linux", architecture: at === 0 ? "amd64" : "arm64" },
    }));
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    const root = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length };
    const blobs = new Map([...amd64.blobs, ...arm64.blobs, [root.digest, bytes]]);
    for (const source of [amd64, arm64]) for (const [digest, blob] of blobs) source.blobs.set(digest, blob);
    const both = { ...amd64, root, resolve: async () => root };
    await pull(ALPINE, both);
    expect(await store.get(ALPINE)).toMatchObject({ platform });
    await pull(ALPINE, both, { platform: { os: "linux", architecture: "arm64" } });
    await expect(store.get(ALPINE)).rejects.toMatchObject({ code: "ambiguous" });
    const arm = await store.get(ALPINE, { platform: { os: "linux", architecture: "arm64" } });
    expect(arm.manifestDigest).toBe(arm64.root.digest);
    await expect(store.get(ALPINE, { platform: { os: "linux", architecture: "s390x" } })).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringContaining("linux/amd64, linux/arm64"),
    });
    expect((await list()).map(({ names }) => names)).toEqual([[ALPINE], [ALPINE]]);
    expect((await list({ platform })).map(({ manifestDigest }) => manifestDigest)).toEqual([amd64.root.digest]);
    await store.remove(ALPINE);
    expect(await list()).toEqual([]);
  });
});

describe("a name", () => {
  it("that is given to an image that is there adds no blobs", async () => {
    const { root } = await pull(ALPINE);
    const before = await blobCount();
    await store.tag("local/mine", ALPINE);
    expect(await blobCount()).toBe(before);
    expect((await store.get("local/mine")).names).toEqual([ALPINE, "local/mine"]);
    expect(await list()).toMatchObject([{ names: [ALPINE, "local/mine"], digest: root.digest }]);
  });

  it("goes without any other name of the image", async () => {
    await pull(ALPINE);
    await store.tag("a", ALPINE);
    await store.tag("b", ALPINE);
    expect(await store.remove("a")).toEqual({ names: ["a"], images: [] });
    expect(await namesOf()).toEqual(["b", ALPINE]);
    expect(await store.untag("b")).toBe(true);
    expect(await store.untag("b")).toBe(false);
    expect((await store.get(ALPINE)).names).toEqual([ALPINE]);
  });

  it("is overwritten by the next image that gets it", async () => {
    await pull(ALPINE);
    const newer = await pull(ALPINE, { layers: [{ path: "new", text: "new" }] });
    expect((await store.get(ALPINE)).digest).toBe(newer.root.digest);
    expect((await list()).map(({ names }) => names)).toEqual(expect.arrayContaining([[ALPINE], []]));
  });

  it("stays the same when its image is pulled again", async () => {
    const source = await pull(ALPINE);
    const before = [await store.get(ALPINE), await store.tags(), await blobCount()];
    await pull(ALPINE, source);
    expect([await store.get(ALPINE), await store.tags(), await blobCount()]).toEqual(before);
  });

  it("of the user's is not moved by what a registry has under it", async () => {
    const mine = await pull(ALPINE);
    const other = { layers: [{ path: "other", text: "other" }] };
    await expect(pull(ALPINE, other, { scope: "registry" })).rejects.toMatchObject({ code: "name_taken" });
    expect((await store.get(ALPINE)).digest).toBe(mine.root.digest);
    await pull(ALPINE, mine, { scope: "registry" });
    expect(await store.tags({ scope: "local" })).toMatchObject([{ name: ALPINE }]);
  });

  it("of a registry follows the registry, until the user gives it to an image", async () => {
    await pull(ALPINE, {}, { scope: "registry" });
    const newer = await pull(ALPINE, { layers: [BASE] }, { scope: "registry" });
    expect((await store.get(ALPINE)).digest).toBe(newer.root.digest);
    expect(await list({ scope: "local" })).toEqual([]);
    await store.tag(ALPINE, ALPINE);
    expect((await list({ scope: "local" })).map(({ digest }) => digest)).toEqual([newer.root.digest]);
  });

  it("that is taken is not moved by an import that was not told to, and nothing is fetched for it", async () => {
    const mine = await pull(ALPINE);
    const archive = await sampleSource({ layers: [BASE] });
    await expect(pull(ALPINE, archive, { onlyIfFree: true })).rejects.toMatchObject({ code: "name_taken" });
    expect(archive.fetched).toEqual([]);
    expect((await store.get(ALPINE)).digest).toBe(mine.root.digest);
  });

  it.each(["", "a\nb", "x".repeat(513)])("is refused where no image can have it: %j", async (name) => {
    await pull(ALPINE);
    await expect(store.tag(name, ALPINE)).rejects.toMatchObject({ code: "name_invalid" });
  });

  it("can be of an artifact that is no image, but not of what is not there", async () => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }));
    const descriptor = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length };
    await expect(store.tag("empty", descriptor)).rejects.toMatchObject({ code: "not_found" });
    async function* content(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    await store.content.push(descriptor, content());
    await store.tag("empty", descriptor);
    expect(await store.resolve("empty")).toEqual(descriptor);
    await expect(store.get("empty")).rejects.toMatchObject({ code: "not_found" });
    expect(await list()).toEqual([]);
    expect(await store.remove(descriptor.digest)).toEqual({ names: ["empty"], images: [] });
  });
});

describe("removing", () => {
  it("leaves the layers that another image has", async () => {
    const one = await pull("one", { layers: [BASE, { path: "a", text: "a" }] });
    await pull("two", { layers: [BASE, { path: "b", text: "b" }] });
    expect(await store.remove("one")).toEqual({ names: ["one"], images: [one.root.digest] });
    const two = await store.get("two");
    for (const { descriptor } of two.layers) expect(await store.content.stat(descriptor.digest)).toBe(descriptor.size);
    expect(await list()).toMatchObject([{ names: ["two"] }]);
  });

  it("by digest takes the image with its one name", async () => {
    const { root } = await pull(ALPINE);
    expect(await store.remove(root.digest.slice(7, 19))).toEqual({ names: [ALPINE], images: [root.digest] });
    expect(await list()).toEqual([]);
    await expect(store.remove(ALPINE)).rejects.toMatchObject({ code: "not_found" });
  });

  it("by digest refuses to take several names, and takes them by force", async () => {
    const { root } = await pull(ALPINE);
    await store.tag("b", ALPINE);
    await expect(store.remove(root.digest)).rejects.toMatchObject({ code: "in_use", message: /"b".*"docker\.io/s });
    expect(await namesOf()).toEqual(["b", ALPINE]);
    expect((await store.remove(root.digest, { force: true })).names).toEqual(["b", ALPINE]);
    expect(await list()).toEqual([]);
  });

  it("of an index leaves the image that another name has by its manifest", async () => {
    const source = await pull(ALPINE, { index: true });
    const { manifestDigest } = await store.get(ALPINE);
    await store.tag("by-manifest", manifestDigest);
    expect(await list()).toMatchObject([{ names: expect.any(Array) }, { names: expect.any(Array) }]);
    expect(await store.remove(ALPINE)).toEqual({ names: [ALPINE], images: [] });
    expect(await list()).toMatchObject([{ names: ["by-manifest"], digest: manifestDigest }]);
    await expect(store.get(source.root.digest)).resolves.toMatchObject({ names: [] });
  });
});

describe("usage", () => {
  it("tells what an image shares and what is its own", async () => {
    const one = await pull("one", { layers: [BASE, { path: "a", text: "a" }] });
    const two = await pull("two", { layers: [BASE, { path: "b", text: "longer" }] });
    const { images, imageBytes, diskBytes } = await store.usage();
    const blobs = new Map([...one.blobs, ...two.blobs]);
    expect(imageBytes).toBe([...blobs.values()].reduce((sum, { length }) => sum + length, 0));
    expect(diskBytes).toBe(0);
    const [base] = one.layers;
    for (const image of images) {
      expect(image.sharedBytes).toBe(base?.size);
      expect(image.uniqueBytes).toBe(image.sizeBytes - (base?.size ?? 0));
    }
    expect(images.length).toBe(2);
    await store.remove("two");
    expect((await store.usage()).images).toMatchObject([{ manifestDigest: one.root.digest, sharedBytes: 0 }]);
  });

  it("counts a layer that occurs twice in an image once", async () => {
    await pull("twice", { layers: [BASE, BASE] });
    const { images, imageBytes } = await store.usage();
    expect(images).toMatchObject([{ sharedBytes: 0, sizeBytes: imageBytes, uniqueBytes: imageBytes }]);
  });
});

describe("index.json", () => {
  it("is there from the start, and lists each name once", async () => {
    expect(readIndex()).toEqual([]);
    const { root } = await pull(ALPINE);
    await store.tag("b", ALPINE);
    await pull("b", { layers: [BASE] });
    await store.flush();
    expect(readIndex()).toMatchObject([{ annotations: named("b") }, { ...root, annotations: named(ALPINE) }]);
  });

  it("follows the tags without being waited for", async () => {
    await pull(ALPINE);
    await expect.poll(readIndex, { timeout: 10_000 }).toMatchObject([{ annotations: named(ALPINE) }]);
  });

  it("gives an older store its names and images back", async () => {
    const { root } = await pull(ALPINE, { index: true });
    await store[Symbol.asyncDispose]();
    for (const end of ["", "-wal", "-shm"]) rmSync(join(directory, `lamella.db${end}`), { force: true });
    store = await openImageStore(directory);
    expect(await store.get(ALPINE)).toMatchObject({ names: [ALPINE], digest: root.digest, platform });
  });

  it("brings names that another tool added, with those that have none", async () => {
    const source = await pull(ALPINE);
    await store.untag(ALPINE);
    await store.flush();
    const annotations = { ...named("theirs"), "org.example.kept": "yes" };
    const manifests = [
      { ...source.root, annotations },
      { ...source.root, annotations: named("no\nname") },
    ];
    writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    await reopen();
    expect(await namesOf()).toEqual([source.root.digest, "theirs"]);
    expect(await store.get("theirs")).toMatchObject({ digest: source.root.digest });
    await store.tag("ours", "theirs");
    await store.flush();
    expect(readIndex().map((each) => each.annotations)).toEqual([
      { "org.example.kept": "yes", ...named("ours") },
      undefined,
      annotations,
    ]);
  });

  it("does not bring back a name that was removed just before the process died", async () => {
    await pull(ALPINE);
    await store.flush();
    const before = readFileSync(join(directory, "index.json"));
    await store.untag(ALPINE);
    await reopen();
    expect(readIndex()).toEqual([]);
    await store.database.write(async (queries) => {
      // as if the file had not been written yet
      await queries.updateTable("layout").set({ written: 0, file: null }).execute();
      await queries.insertInto("removed_tags").values({ name: ALPINE, wanted: 1 }).execute();
    });
    writeFileSync(join(directory, "index.json"), before);
    await reopen();
    expect(await namesOf()).toEqual([]);
    expect(readIndex()).toEqual([]);
  });

  it("is made anew when it was damaged, and kept aside", async () => {
    await pull(ALPINE);
    await store.flush();
    writeFileSync(join(directory, "index.json"), "{ damaged");
    await reopen();
    expect(readIndex()).toMatchObject([{ annotations: named(ALPINE) }]);
    expect(readFileSync(join(directory, "index.json.damaged"), "utf8")).toBe("{ damaged");
  });

  it("is not written where nothing has changed", async () => {
    await pull(ALPINE);
    await store.flush();
    const { manifests } = { manifests: readIndex() };
    rmSync(join(directory, "index.json"));
    writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests, theirs: true }));
    await reopen();
    expect(readIndex()).toEqual(manifests);
    const once = readFileSync(join(directory, "index.json"), "utf8");
    await reopen();
    expect(readFileSync(join(directory, "index.json"), "utf8")).toBe(once);
  });

  it("has the names of all stores that are open over one directory", async () => {
    await pull(ALPINE);
    const stores = await Promise.all(Array.from({ length: 3 }, () => openImageStore(directory)));
    await Promise.all(
      stores.flatMap((each, s) => Array.from({ length: 4 }, (_, n) => each.tag(`name-${s}-${n}`, ALPINE))),
    );
    for (const each of stores) await each[Symbol.asyncDispose]();
    expect(readIndex().length).toBe(13);
    expect((await namesOf()).length).toBe(13);
  });

  it("says what the tags say, whatever is done to them", async () => {
    const { root } = await pull(ALPINE);
    const model = new Set([ALPINE]);
    const name = fc.constantFrom("a", "b", "c", "d e", "é");
    const step = fc.record({ name, does: fc.constantFrom("tag", "untag", "reopen") });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        for (const { name: each, does } of steps) {
          if (does === "reopen") await reopen();
          else if (does === "tag") await store.tag(each, root.digest);
          else expect(await store.untag(each)).toBe(model.has(each));
          if (does === "tag") model.add(each);
          if (does === "untag") model.delete(each);
        }
        await store.flush();
        expect(readIndex().map((entry) => entry.annotations)).toEqual([...model].sort().map(named));
      }),
      { numRuns: 8 },
    );
  });
});

describe("a store", () => {
  it("records nothing of a pull that failed", async () => {
    await expect(pull(ALPINE, { wrongDiffIDs: true })).rejects.toMatchObject({ code: "digest_mismatch" });
    expect(await list()).toEqual([]);
    expect(await store.tags()).toEqual([]);
    expect(await store.database.read((queries) => queries.selectFrom("leases").selectAll().execute())).toEqual([]);
  });

  it("holds a pulled image by a lease until it is recorded", async () => {
    const source = await sampleSource({ index: true });
    const held: string[] = [];
    const onProgress = async (): Promise<void> => {
      const rows = await store.database.read((queries) => queries.selectFrom("lease_items").select("ref").execute());
      if (held.length === 0) held.push(...rows.map(({ ref }) => ref));
    };
    let looking = Promise.resolve();
    await pull(ALPINE, source, { onProgress: () => void (looking = looking.then(onProgress)) });
    await looking;
    expect(held).toEqual(expect.arrayContaining([...source.blobs.keys()]));
  });

  it("keeps what a lease was taken for in its database, and forgets it with the work", async () => {
    const rows = (): Promise<unknown[]> =>
      store.database.read((queries) => queries.selectFrom("lease_items").select(["kind", "ref"]).execute());
    const item = { kind: "disk", ref: "a" } as const;
    await store.lease("a test", [item], async (lease) => {
      await lease.add([item, { kind: "blob", ref: "b" }]);
      expect(await rows()).toEqual(expect.arrayContaining([item, { kind: "blob", ref: "b" }]));
    });
    expect(await rows()).toEqual([]);
    const failing = store.lease("a test", [item], async () => Promise.reject(new Error("failed")));
    await expect(failing).rejects.toThrow("failed");
    expect(await rows()).toEqual([]);
  });

  it("stops when it is told to", async () => {
    await pull(ALPINE);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(openImageStore(directory, { signal })).rejects.toThrow("enough");
    const calls = [
      () => store.get(ALPINE, { signal }),
      () => store.resolve(ALPINE, { signal }),
      () => store.tags({}, { signal }),
      () => store.list({}, { signal })[Symbol.asyncIterator]().next(),
      () => store.tag("b", ALPINE, { signal }),
      () => store.tag("b", { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from("")), size: 0 }, { signal }),
      () => store.untag(ALPINE, { signal }),
      () => store.remove(ALPINE, { signal }),
      () => store.usage({ signal }),
      () => store.flush({ signal }),
      () => store.lease("none", [], async () => {}, { signal }),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow("enough");
    expect(await namesOf()).toEqual([ALPINE]);
  });

  it("can be closed twice, and refuses what comes later", async () => {
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await expect(store.get(ALPINE)).rejects.toMatchObject({ code: "closed" });
    expect(existsSync(join(directory, "lamella.db"))).toBe(true);
  });
});
