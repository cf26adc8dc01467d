import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestHex, digestOf, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { ContentStore } from "../src/content-store.js";
import { collectGarbage } from "../src/gc.js";
import type { GcReport } from "../src/gc.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { openImageTree } from "../src/image-tree.js";
import { newPartName } from "../src/ingest-claim.js";
import { layerDirectory, pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";
import type { SampleOptions, SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const BASE = { path: "base", text: "what both are made from" };
const NOW = { graceMs: 0 };
const HOUR = 3_600_000;

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

async function pull(name: string, of: SampleOptions | SampleSource = {}): Promise<SampleSource> {
  const source = "root" in of ? of : await sampleSource(of);
  await pullImage(store, source, "latest", { platform, name });
  return source;
}

async function blobs(): Promise<Digest[]> {
  const found: Digest[] = [];
  for await (const digest of store.content.blobs()) found.push(digest);
  return found.toSorted();
}

async function push(mediaType: string, document: object | string): Promise<Descriptor> {
  const bytes = Buffer.from(typeof document === "string" ? document : JSON.stringify(document));
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await store.content.push(descriptor, once(bytes));
  return descriptor;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** An artifact that says something about another. */
async function pushReferrer(subject: Descriptor, text: string): Promise<Descriptor> {
  const config = await push(OCI_EMPTY, "{}");
  const layers = [await push("text/plain", text)];
  return push(OCI_MANIFEST, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, subject });
}

/** The name of what a process was writing that is gone. */
async function deadPart(): Promise<string> {
  const parts = (await newPartName()).split(".");
  return parts.with(2, String(spawnSync("true").pid)).join(".");
}

function age(path: string, ms = 2 * HOUR): void {
  const time = (Date.now() - ms) / 1000;
  utimesSync(path, time, time);
}

function sorted({ removed }: GcReport): string[] {
  return removed.map(({ kind, ref }) => `${kind} ${ref}`).toSorted();
}

describe("garbage collection", () => {
  it("leaves all that names lead to", async () => {
    await pull("one", { index: true });
    await pull("two", { layers: [BASE] });
    const before = await blobs();
    expect(await store.gc(NOW)).toMatchObject({ images: [], removed: [], freedBytes: 0, young: { count: 0 } });
    expect(await blobs()).toEqual(before);
  });

  it("removes the blobs and archives of an image that was removed, counted with their bytes", async () => {
    const { blobs: all, layers } = await pull("one", { index: true });
    const { layers: stored } = await store.get("one");
    await store.remove("one");
    const report = await store.gc(NOW);
    const bytes = [...all.values()].reduce((sum, blob) => sum + blob.length, 0);
    expect(report.totals.blob).toEqual({ count: all.size, bytes });
    expect(report.totals.layer.count).toBe(layers.length);
    expect(report.freedBytes).toBe(bytes + report.totals.layer.bytes);
    expect(report.totals.layer.bytes).toBeGreaterThan(0);
    expect(await blobs()).toEqual([]);
    expect(existsSync(layerDirectory(store.content, stored[0]!.diffID))).toBe(false);
    expect(readdirSync(join(directory, "layers"))).toEqual([]);
  });

  it("leaves the layers that another image has, and that one can be read", async () => {
    const one = await pull("one", { layers: [BASE, { path: "one", text: "1" }] });
    const two = await pull("two", { layers: [BASE, { path: "two", text: "2" }] });
    await store.remove("one");
    const { removed } = await store.gc(NOW);
    expect(removed.filter(({ kind }) => kind === "blob").map(({ ref }) => ref)).toEqual(
      expect.arrayContaining([one.root.digest, one.layers[1]!.digest]),
    );
    expect(await blobs()).toEqual([...two.blobs.keys()].toSorted());
    const image = await pullImage(store, store, "two", { platform });
    const tree = await openImageTree(store.content, image);
    expect(await tree.lookup("base")).toMatchObject({ kind: "file" });
    await tree[Symbol.asyncDispose]();
  });

  it("removes an image that lost its name to another, once it is older than the grace period", async () => {
    const old = await pull("name", { layers: [BASE] });
    await pull("name");
    expect((await store.gc({ graceMs: HOUR })).images).toEqual([]);
    expect(await store.get(old.root.digest)).toMatchObject({ names: [] });
    expect((await store.gc(NOW)).images).toEqual([old.root.digest]);
    await expect(store.get(old.root.digest)).rejects.toMatchObject({ code: "not_found" });
    expect(await store.content.stat(old.root.digest)).toBeUndefined();
  });

  it("removes an index without a name, and leaves its image that has one", async () => {
    const source = await pull("index", { index: true });
    const { manifestDigest } = await store.get("index");
    await store.tag("manifest", manifestDigest);
    await store.untag("index");
    expect(sorted(await store.gc(NOW))).toEqual([`blob ${source.root.digest}`]);
    expect(await store.get("manifest")).toMatchObject({ digest: manifestDigest });
    await expect(store.get(source.root.digest)).rejects.toMatchObject({ code: "not_found" });
  });

  it("leaves what is younger than the grace period, and tells how much that is", async () => {
    const { root } = await pull("one");
    const kept = await pull("two", { layers: [BASE] });
    await store.remove("one");
    age(store.content.blobPath(root.digest));
    age(store.content.blobPath(kept.root.digest));
    const report = await store.gc({ graceMs: HOUR });
    expect(sorted(report)).toEqual([`blob ${root.digest}`]);
    expect(report.young.count).toBe(3);
    expect((await store.gc()).young).toEqual(report.young);
  });

  it("tells without removing anything, when it runs dry, exactly what it would remove", async () => {
    await pull("gone", { layers: [BASE, { path: "gone", text: "g" }], index: true });
    await pull("moved", { layers: [BASE] });
    await pull("moved", { layers: [{ path: "kept", text: "k" }] });
    await store.remove("gone");
    await push("text/plain", "of nobody");
    writeFileSync(join(directory, "ingest", await deadPart()), "half");
    const before = await blobs();
    const dry = await store.gc({ ...NOW, dryRun: true });
    expect(await blobs()).toEqual(before);
    expect((await store.gc({ ...NOW, dryRun: true })).removed).toEqual(dry.removed);
    const run = await store.gc(NOW);
    expect(dry.removed.length).toBeGreaterThan(8);
    expect(sorted(run)).toEqual(sorted(dry));
    expect({ ...run, removed: [] }).toEqual({ ...dry, dryRun: false, removed: [] });
    expect(await store.gc(NOW)).toMatchObject({ images: [], removed: [] });
  });

  it("leaves what an index within an index leads to, and artifacts that are no images", async () => {
    const layer = await push("text/plain", "a layer");
    const config = await push(OCI_CONFIG, { os: "linux" });
    const manifest = await push(OCI_MANIFEST, { schemaVersion: 2, config, layers: [layer] });
    const inner = await push(OCI_INDEX, { schemaVersion: 2, manifests: [manifest] });
    const outer = await push(OCI_INDEX, { schemaVersion: 2, manifests: [inner] });
    await store.tag("nested", outer);
    const text = await push("text/plain", "no document at all");
    await store.tag("text", text);
    expect((await store.gc(NOW)).removed).toEqual([]);
    await store.untag("nested");
    expect((await store.gc(NOW)).totals.blob.count).toBe(5);
    expect(await blobs()).toEqual([text.digest]);
  });

  it("leaves the referrers of what it leaves, those of referrers too, and the subject of what has a name", async () => {
    const { root } = await pull("signed");
    const signature = await pushReferrer(root, "a signature");
    const countersignature = await pushReferrer(signature, "a signature of the signature");
    const { root: other } = await pull("removed", { layers: [BASE] });
    const orphan = await pushReferrer(other, "a signature of what is gone");
    await store.remove("removed");
    const report = await store.gc(NOW);
    expect(sorted(report)).toContain(`blob ${orphan.digest}`);
    for (const { digest } of [root, signature, countersignature]) {
      expect(await store.content.stat(digest)).toBeGreaterThan(0);
    }
    await store.tag("signature", countersignature);
    await store.remove("signed");
    expect(sorted(await store.gc(NOW)).filter((line) => line.startsWith("blob"))).toEqual([]);
    await store.untag("signature");
    await store.gc(NOW);
    expect(await blobs()).toEqual([]);
  });

  it("leaves what a lease holds until it ends, or is void", async () => {
    const held = await push("text/plain", "held");
    const archive = await sampleSource();
    const items = [{ kind: "blob", ref: held.digest } as const];
    await store.lease("test", items, async (lease) => {
      const image = await pullImage(store, archive, "latest", { platform, lease });
      expect((await store.gc(NOW)).removed).toEqual([]);
      const tree = await openImageTree(store.content, image);
      await tree[Symbol.asyncDispose]();
    });
    expect((await store.gc(NOW)).totals).toMatchObject({ blob: { count: 1 }, layer: { count: 1 } });

    const again = await push("text/plain", "held");
    const wait = async (): Promise<void> => {
      expect((await store.gc(NOW)).removed).toEqual([{ kind: "blob", ref: again.digest, bytes: again.size }]);
    };
    await store.lease("over", items, wait, { ttlMs: -1 });
  });

  it("forgets the leases of processes that are gone", async () => {
    const blob = await push("text/plain", "held by nobody");
    await store.database.write(async (queries) => {
      const lease = { id: "dead", owner: "another-boot:1.1:1:1", purpose: "test", created_at: 0, expires_at: null };
      await queries.insertInto("leases").values(lease).execute();
      await queries.insertInto("lease_items").values({ lease_id: "dead", kind: "blob", ref: blob.digest }).execute();
    });
    expect((await store.gc({ ...NOW, dryRun: true })).totals.blob.count).toBe(1);
    expect((await store.gc(NOW)).totals.blob.count).toBe(1);
    const leases = store.database.read((queries) => queries.selectFrom("leases").selectAll().execute());
    expect(await leases).toEqual([]);
  });

  it("keeps disks with their images, and removes their rows and files after them", async () => {
    const { root } = await pull("one");
    mkdirSync(join(directory, "disks"));
    const key = "a".repeat(64);
    const files = [`disks/${key}.ext4`, "disks/of-nobody.erofs", `disks/.${key.slice(0, 60)}.x1.tmp`];
    for (const file of files) writeFileSync(join(directory, file), "disk");
    await recordDisk(key, root.digest);
    expect(sorted(await store.gc(NOW))).toEqual([`disk ${files[1]}`, `leftover ${files[2]}`]);
    await store.remove("one");
    await store.lease("run", [{ kind: "disk", ref: key }], async () => {
      expect((await store.gc(NOW)).totals.disk.count).toBe(0);
    });
    const dry = await store.gc({ ...NOW, dryRun: true });
    const report = await store.gc(NOW);
    expect(report.removed).toEqual(dry.removed);
    expect(report.removed).toEqual([{ kind: "disk", ref: files[0], bytes: 4 }]);
    expect(readdirSync(join(directory, "disks"))).toEqual([]);
    expect(await store.database.read((queries) => queries.selectFrom("disks").selectAll().execute())).toEqual([]);
  });

  it("leaves what a build under way names", async () => {
    const blob = await push("text/plain", "the manifest of a build");
    const build = { name: "n", platform: "linux/amd64", format: "ext4", options: "{}", created_at: 0 };
    const setStatus = (status: "pulling" | "failed"): Promise<unknown> =>
      store.database.write(async (queries) => {
        await queries.deleteFrom("builds").execute();
        await queries
          .insertInto("builds")
          .values({ ...build, status, manifest_digest: blob.digest })
          .execute();
      });
    await setStatus("pulling");
    expect((await store.gc(NOW)).removed).toEqual([]);
    await setStatus("failed");
    expect((await store.gc(NOW)).removed).toHaveLength(1);
  });

  it("removes what a killed process has left, and nothing that is being written", async () => {
    const digest = digestOf(Buffer.from("whole"));
    const hex = digestHex(digest);
    const left = [`ingest/sha256-${hex}.0123456789ab.1.released`, `layers/${hex}.tmp-1`, `ingest/${await deadPart()}`];
    const own = await newPartName();
    writeFileSync(join(directory, "ingest", own), "index.json, soon");
    mkdirSync(join(directory, "layers", `${hex}.tmp-1`), { recursive: true });
    for (const file of [left[0]!, `${left[1]}/contents`, left[2]!]) writeFileSync(join(directory, file), "x");
    await using ingest = await store.content.ingest(digest);
    await ingest.write(Buffer.from("wh"));
    // what it took up is its own now
    expect(ingest.size).toBe(3);
    expect(sorted(await store.gc({ graceMs: HOUR }))).toEqual([]);
    expect(sorted(await store.gc(NOW))).toEqual(
      left
        .slice(1)
        .map((ref) => `leftover ${ref}`)
        .toSorted(),
    );
    await ingest.restart();
    await ingest.write(Buffer.from("whole"));
    await ingest.commit(digest);
    expect(await store.content.stat(digest)).toBe(5);
  });

  it("leaves the released part of a blob to the next pull while a lease holds the blob", async () => {
    const digest = digestOf(Buffer.from("whole"));
    const ingest = await store.content.ingest(digest);
    await ingest.write(Buffer.from("wh"));
    await ingest.release();
    await store.lease("pull", [{ kind: "blob", ref: digest }], async () => {
      expect((await store.gc(NOW)).removed).toEqual([]);
    });
    expect((await store.gc(NOW)).totals.leftover).toEqual({ count: 1, bytes: 2 });
  });

  it("removes nothing when a manifest with a name is damaged", async () => {
    const { root } = await pull("one");
    await pull("two", { layers: [BASE] });
    await store.remove("two");
    const before = await blobs();
    writeFileSync(store.content.blobPath(root.digest), Buffer.alloc(root.size));
    await expect(store.gc(NOW)).rejects.toMatchObject({ code: "store_invalid" });
    expect(await blobs()).toEqual(before);
  });

  it("finds names that another tool has added since the store was opened", async () => {
    const { root } = await pull("one");
    await store.flush();
    const path = join(directory, "index.json");
    await store.untag("one");
    await store.flush();
    const annotations = { "org.opencontainers.image.ref.name": "theirs" };
    writeFileSync(path, JSON.stringify({ schemaVersion: 2, manifests: [{ ...root, annotations }] }));
    expect((await store.gc(NOW)).removed).toEqual([]);
    expect((await store.tags()).map(({ name }) => name)).toEqual(["theirs"]);
  });

  describe("that has found garbage leaves what meanwhile", () => {
    /** Does something between the finding and the removing. */
    function gcWith(meanwhile: () => Promise<unknown>): Promise<GcReport> {
      const content: ContentStore = {
        ...store.content,
        async *blobs(call) {
          yield* await blobs();
          call?.signal?.throwIfAborted();
          await meanwhile();
        },
      };
      return collectGarbage({ content, database: store.database, flush: store.flush }, NOW);
    }

    it("has got a name, with all that it leads to", async () => {
      const artifact = await pushReferrer(await push("text/plain", "its subject"), "what it says");
      expect((await gcWith(() => store.tag("late", artifact))).removed).toEqual([]);
      await store.untag("late");
      expect((await gcWith(async () => {})).removed).toHaveLength(4);
    });

    it("has been recorded as an image", async () => {
      const source = await sampleSource({ index: true });
      for (const [digest, bytes] of source.blobs) {
        await store.content.push({ mediaType: "", digest, size: bytes.length }, once(bytes));
      }
      const report = await gcWith(() => pull("late", source));
      expect(report.removed).toEqual([]);
      expect(await store.get("late")).toMatchObject({ digest: source.root.digest });
    });

    it("was leased", async () => {
      const { digest } = await push("text/plain", "leased late");
      let end = (): void => {};
      const use = new Promise<void>((resolve) => (end = resolve));
      let lease = Promise.resolve();
      const report = await gcWith(async () => {
        await new Promise<void>((begun) => {
          lease = store.lease("late", [{ kind: "blob", ref: digest }], () => (begun(), use));
        });
      });
      expect(report.removed).toEqual([]);
      end();
      await lease;
    });

    it("was touched, as by whoever found it there", async () => {
      const { digest } = await push("text/plain", "found");
      const path = store.content.blobPath(digest);
      age(path);
      const { database } = store;
      let writes = 0;
      const touching: ImageStore["database"] = {
        read: (use, call) => database.read(use, call),
        exclusively: (name, use, call) => database.exclusively(name, use, call),
        checkpoint: (call) => database.checkpoint(call),
        write(use, call) {
          // the first forgets leases, the second removes what was found
          if (++writes === 2) age(path, 0);
          return database.write(use, call);
        },
        [Symbol.asyncDispose]: async () => {},
      };
      const { content, flush } = store;
      expect((await collectGarbage({ content, database: touching, flush }, { graceMs: HOUR })).removed).toEqual([]);
      expect(writes).toBe(2);
      age(path);
      expect((await store.gc({ graceMs: HOUR })).removed).toHaveLength(1);
    });
  });

  it("leaves a pull to fetch what went after the pull had seen it", async () => {
    const source = await pull("one", { index: true });
    await store.remove("one");
    let collected = 0;
    const content: ContentStore = {
      ...store.content,
      async stat(digest, call) {
        const size = await store.content.stat(digest, call);
        collected += (await store.gc(NOW)).removed.length;
        return size;
      },
    };
    await pullImage({ ...store, content }, source, "latest", { platform, name: "one" });
    expect(collected).toBeGreaterThan(0);
    expect(await store.get("one")).toMatchObject({ digest: source.root.digest });
    expect(await blobs()).toEqual([...source.blobs.keys()].toSorted());
  });

  it("stops when it is told to", async () => {
    const reason = new Error("enough");
    await expect(store.gc({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await push("text/plain", "of nobody");
    const controller = new AbortController();
    const running = store.gc({ ...NOW, signal: controller.signal });
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(await blobs()).toHaveLength(1);
  });
});

async function recordDisk(key: string, manifest: Digest): Promise<void> {
  await store.database.write(async (queries) => {
    const disk = { key, manifest_digest: manifest, format: "ext4", options: "{}", file: `disks/${key}.ext4` };
    await queries
      .insertInto("disks")
      .values({ ...disk, size_bytes: 4, created_at: 0, used_at: 0 })
      .execute();
    await queries.insertInto("disk_images").values({ disk_key: key, manifest_digest: manifest }).execute();
  });
}
