import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { sql } from "@lamella/database";
import { verifyLayer } from "@lamella/layer-format/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Finding } from "../src/check.js";
import { checkImageStore } from "../src/check-directory.js";
import { keepDisks } from "../src/disk-cache.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { fileIdentity } from "../src/layout-index.js";
import { layerDirectory, pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";
import type { SampleOptions, SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const BASE = { path: "base", text: "what both are made from" };
const REPAIR = { repair: true };

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

async function check(options = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of store.check(options)) findings.push(finding);
  return findings;
}

async function checkDirectory(options = {}): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of checkImageStore(directory, options)) findings.push(finding);
  return findings;
}

function said(findings: readonly Finding[]): string[] {
  return findings.map(({ kind, subject }) => `${kind} ${subject}`);
}

/** Changes a byte and leaves size and times. */
function corrupt(path: string, at = 0): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
}

/** Finds exactly this, changes nothing without repair, and nothing is left to find after it. */
async function expectRepaired(...expected: string[]): Promise<Finding[]> {
  for (const findings of [await check(), await check()]) {
    expect(said(findings)).toEqual(expected);
    expect(findings.map(({ repair }) => repair)).toEqual(expected.map(() => undefined));
  }
  const repaired = await check(REPAIR);
  expect(repaired.every(({ repair }) => repair !== undefined)).toBe(true);
  expect(await check()).toEqual([]);
  return repaired;
}

async function expectWhole(name: string, { root, layers }: SampleSource): Promise<void> {
  expect(await store.get(name)).toMatchObject({
    digest: root.digest,
    layers: layers.map((descriptor) => ({ descriptor })),
  });
}

describe("a check of a store", () => {
  it("finds nothing in one that is sound, empty or not", async () => {
    expect(await check()).toEqual([]);
    await pull("one", { index: true });
    await pull("two", { layers: [BASE] });
    await store.remove("one");
    expect(await check()).toEqual([]);
    expect(await checkDirectory()).toEqual([]);
  });

  it("finds a layer's blob with a wrong byte; repaired, the next pull brings it", async () => {
    const source = await pull("one", { layers: [BASE] });
    const other = await pull("two");
    corrupt(store.content.blobPath(source.layers[0]!.digest), 20);
    await expectRepaired(`blob_damaged ${source.layers[0]!.digest}`);
    await expect(store.get("one")).rejects.toMatchObject({ code: "not_found" });
    await expectWhole("two", other);
    source.fetched.length = 0;
    await pull("one", source);
    expect(source.fetched).toEqual([source.layers[0]!.digest]);
    await expectWhole("one", source);
  });

  it("finds a blob that was cut short, and one that is a link", async () => {
    const { layers, root } = await pull("one", { layers: [BASE] });
    const text = await pull("two");
    truncateSync(store.content.blobPath(layers[0]!.digest), 3);
    const linked = store.content.blobPath(text.root.digest);
    renameSync(linked, `${directory}/elsewhere`);
    symlinkSync(`${directory}/elsewhere`, linked);
    const damaged = [layers[0]!.digest, text.root.digest].map((digest) => `blob_damaged ${digest}`).toSorted();
    expect(said(await check())).toEqual(expect.arrayContaining([...damaged, "name_broken two"]));
    expect(said(await check(REPAIR)).toSorted()).toEqual([...damaged, "name_broken two"]);
    expect(await check()).toEqual([]);
    expect(root.digest).toBe((await store.tags())[0]!.descriptor.digest);
  });

  it("finds a damaged manifest with the image and the name that it takes with it", async () => {
    const source = await pull("one");
    corrupt(store.content.blobPath(source.root.digest), 5);
    const damaged = `blob_damaged ${source.root.digest}`;
    expect(said(await check())).toEqual([damaged, `image_incomplete ${source.root.digest}`]);
    expect(said(await check(REPAIR))).toEqual([damaged, "name_broken one"]);
    expect(await check()).toEqual([]);
    await pull("one", source);
    await expectWhole("one", source);
  });

  it("finds an image that lacks a blob", async () => {
    const source = await pull("one", { layers: [BASE] });
    await store.content.remove(source.layers[0]!.digest);
    await expectRepaired(`image_incomplete ${source.root.digest}`);
    await pull("one", source);
    await expectWhole("one", source);
  });

  it("finds a name that stands for nothing, and removes it", async () => {
    const { root } = await pull("one", { index: true });
    await pull("two");
    await store.content.remove(root.digest);
    await expectRepaired("name_broken one");
    expect((await store.tags()).map(({ name }) => name)).toEqual(["two"]);
  });

  it("finds an image that was not recorded, and rows that say something else than its documents", async () => {
    const source = await pull("one", { index: true });
    const { manifestDigest } = await store.get("one");
    await store.database.write((queries) => queries.deleteFrom("images").execute());
    await expectRepaired("image_unrecorded one");
    await expectWhole("one", source);
    await store.database.write(async (queries) => {
      await queries.updateTable("images").set({ platform: "linux/s390x" }).execute();
      await queries.deleteFrom("image_layers").execute();
    });
    await expectRepaired(`image_wrong ${manifestDigest}`);
    await expectWhole("one", source);
    expect(await store.get(manifestDigest)).toMatchObject({ platform });
  });

  it("finds a damaged layer archive, and makes it again of its blob", async () => {
    await pull("one", { layers: [BASE] });
    const { layers } = await store.get("one");
    const { diffID } = layers[0]!;
    for (const damage of [
      (path: string) => corrupt(join(path, "contents")),
      (path: string) => rmSync(join(path, "idx")),
    ]) {
      damage(layerDirectory(store.content, diffID));
      const [finding] = await expectRepaired(`layer_damaged ${diffID}`);
      expect(finding).toMatchObject({ repair: "made again of its blob" });
      expect(await verifyLayer(layerDirectory(store.content, diffID))).toMatchObject({ diffID });
    }
  });

  it("drops a damaged layer archive that there is no blob of, and one of another layer", async () => {
    await pull("one", { layers: [BASE] });
    await pull("two");
    const one = layerDirectory(store.content, (await store.get("one")).layers[0]!.diffID);
    const two = (await store.get("two")).layers[0]!;
    rmSync(layerDirectory(store.content, two.diffID), { recursive: true });
    mkdirSync(layerDirectory(store.content, two.diffID));
    for (const file of ["idx", "contents"]) {
      writeFileSync(join(layerDirectory(store.content, two.diffID), file), readFileSync(join(one, file)));
    }
    await store.content.remove(two.descriptor.digest);
    const findings = await expectRepaired(
      `image_incomplete ${(await store.get("two")).manifestDigest}`,
      `layer_damaged ${two.diffID}`,
    );
    expect(findings.at(-1)).toMatchObject({ repair: "dropped" });
    expect(existsSync(layerDirectory(store.content, two.diffID))).toBe(false);
  });

  it("finds disks of another size, and those that are not there", async () => {
    const { root } = await pull("one");
    mkdirSync(join(directory, "disks"));
    await store.database.write(async (queries) => {
      for (const key of ["gone", "short", "sound"]) {
        const disk = { key, manifest_digest: root.digest, format: "ext4", options: "{}", file: `disks/${key}.ext4` };
        await queries
          .insertInto("disks")
          .values({ ...disk, size_bytes: 4, created_at: 0, used_at: 0 })
          .execute();
      }
    });
    writeFileSync(join(directory, "disks/short.ext4"), "dis");
    writeFileSync(join(directory, "disks/sound.ext4"), "disk");
    await expectRepaired("disk_damaged disks/gone.ext4", "disk_damaged disks/short.ext4");
    expect(existsSync(join(directory, "disks/short.ext4"))).toBe(false);
    expect(existsSync(join(directory, "disks/sound.ext4"))).toBe(true);
  });

  it.each([
    { format: "ext4" },
    { format: "erofs", compression: "lz4" },
    { format: "erofs-layers", overlayXattrs: "user" },
  ] as const)("finds a wrong byte in a disk: $format; dropped, it is made again", async (request) => {
    const source = await sampleSource({ layers: [BASE, { path: "own", text: "o".repeat(9000) }] });
    const image = await pullImage(store, source, "latest", { platform, name: "one" });
    const disks = await keepDisks(store, image, request);
    const { path, sizeBytes } = disks.at(-1)!;
    const whole = readFileSync(path);
    for (const at of [0, 1100, sizeBytes - 1]) {
      expect(await check()).toEqual([]);
      corrupt(path, at);
      const [finding] = await expectRepaired(`disk_damaged disks/${basename(path)}`);
      expect(finding).toMatchObject({ problem: `its bytes are not those of its layers, from byte ${at} on` });
      expect(existsSync(path)).toBe(false);
      await keepDisks(store, image, request);
      expect(readFileSync(path).equals(whole)).toBe(true);
    }
  });

  it("blames a layer archive, not its disk, when that is damaged", async () => {
    const image = await pullImage(store, await sampleSource(), "latest", { platform, name: "one" });
    await keepDisks(store, image, { format: "ext4" });
    const { diffID } = image.layers[0]!;
    corrupt(join(layerDirectory(store.content, diffID), "contents"));
    await expectRepaired(`layer_damaged ${diffID}`);
  });

  it("finds an index.json that says something else than the names, and takes nothing from it", async () => {
    const { root } = await pull("one");
    await store.flush();
    const path = join(directory, "index.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"one"', '"eno"'));
    // as bit rot: nothing tells of another writing
    const file = await fileIdentity(path);
    await store.database.write((queries) => queries.updateTable("layout").set({ file: file! }).execute());
    await expectRepaired("index_wrong index.json");
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ manifests: [{ digest: root.digest }] });
    expect((await store.tags()).map(({ name }) => name)).toEqual(["one"]);
  });

  it("stops when it is told to", async () => {
    const reason = new Error("enough");
    await expect(check({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(checkDirectory({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("a store whose oci-layout", () => {
  it("is damaged cannot be opened, and is repaired by what is beside it", async () => {
    await pull("one");
    await store[Symbol.asyncDispose]();
    const path = join(directory, "oci-layout");
    corrupt(path, readFileSync(path).indexOf("1.0.0"));
    await expect(openImageStore(directory)).rejects.toMatchObject({ code: "store_invalid" });
    expect(said(await checkDirectory())).toEqual(["index_wrong oci-layout"]);
    expect(said(await checkDirectory(REPAIR))).toEqual(["index_wrong oci-layout"]);
    expect(await checkDirectory()).toEqual([]);
    store = await openImageStore(directory);
    expect((await store.tags()).map(({ name }) => name)).toEqual(["one"]);
  });

  it("is of another version is left alone where nothing tells that it is ours", async () => {
    await store[Symbol.asyncDispose]();
    const theirs = join(directory, "theirs");
    mkdirSync(theirs);
    writeFileSync(join(theirs, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
    await expect(checkImageStore(theirs, REPAIR).next()).rejects.toMatchObject({ code: "store_invalid" });
    expect(readFileSync(join(theirs, "oci-layout"), "utf8")).toBe('{"imageLayoutVersion":"2.0.0"}');
    store = await openImageStore(directory);
  });
});

describe("a store whose database", () => {
  it.each([
    ["a name that stands for two things", "update tags set root_digest = 'sha256:' || substr(root_digest, 9) || '0'"],
    ["a descriptor that is none", "update tags set descriptor = substr(descriptor, 2)"],
    ["an image of no platform", "update images set platform = 'linux/\u0001'"],
    ["a config that is none", "update images set config = '{'"],
  ])("has %s is made anew of the files by a repair", async (_, statement) => {
    const source = await pull("one", { index: true });
    await store.flush();
    await store.database.write((queries) => sql.raw(statement).execute(queries));
    await store[Symbol.asyncDispose]();
    expect(said(await checkDirectory())[0]).toBe("database_damaged lamella.db");
    expect(said(await checkDirectory(REPAIR))).toEqual(["database_damaged lamella.db"]);
    expect(await checkDirectory()).toEqual([]);
    store = await openImageStore(directory);
    await expectWhole("one", source);
  });

  it("is lost has its names and images again when it is opened", async () => {
    const source = await pull("one", { index: true });
    await store[Symbol.asyncDispose]();
    for (const ending of ["", "-wal", "-shm"]) rmSync(join(directory, `lamella.db${ending}`), { force: true });
    expect(await checkDirectory()).toEqual([]);
    store = await openImageStore(directory);
    await expectWhole("one", source);
  });

  it("has JSON that is none says so", async () => {
    await pull("one");
    await store.flush();
    await store.database.write((queries) => queries.updateTable("tags").set({ descriptor: "{" }).execute());
    await expect(store.tags()).rejects.toMatchObject({
      code: "store_invalid",
      message: expect.stringContaining("check --repair"),
    });
    await expect(store.resolve("one")).rejects.toMatchObject({ code: "store_invalid" });
  });

  it.each([
    ["is no database", (bytes: Buffer) => bytes.fill("no database at all")],
    ["has lost pages", (bytes: Buffer) => bytes.fill(0xff, 3 * PAGE_BYTES)],
  ])("%s is made anew of the files by a repair, and kept aside", async (_, damage) => {
    const sources = [await pull("one", { index: true }), await pull("two", { layers: [BASE] })];
    await fillDatabase();
    await store[Symbol.asyncDispose]();
    const path = join(directory, "lamella.db");
    for (const ending of ["-wal", "-shm"]) rmSync(`${path}${ending}`, { force: true });
    writeFileSync(path, damage(readFileSync(path)));
    expect(said(await checkDirectory())).toContain("database_damaged lamella.db");
    const repaired = await checkDirectory(REPAIR);
    expect(said(repaired)).toEqual(["database_damaged lamella.db"]);
    expect(existsSync(join(directory, "lamella.db.damaged-1"))).toBe(true);
    expect(await checkDirectory()).toEqual([]);
    store = await openImageStore(directory);
    await expectWhole("one", sources[0]!);
    await expectWhole("two", sources[1]!);
  });
});

const PAGE_BYTES = 4096;

/** So much that SQLite brings what it has from the log into the file. */
async function fillDatabase(): Promise<void> {
  const build = { name: "n", platform: "linux/amd64", format: "ext4", options: "{}", created_at: 0 } as const;
  const rows = Array.from({ length: 500 }, () => ({ ...build, status: "failed" as const, error: "x".repeat(10_000) }));
  for (let time = 0; time < 2; time++) {
    await store.database.write((queries) => queries.insertInto("builds").values(rows).execute());
  }
}
