import { mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createLayerReader } from "../src/tar/layer-reader.js";
import type { LayerEntry } from "../src/layer.js";
import { mergeLayers } from "../src/merge/merge.js";
import { openLayer } from "../src/node/archive/reader.js";
import { writeLayer } from "../src/node/archive/writer.js";
import { inChunks, packTar } from "./packed-tar.js";
import { bytesOf, listing, textOf } from "./tree-listing.js";

let store: string;
let directory: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "layer-archive-"));
  directory = join(store, "layers", "one");
});

afterEach(async () => {
  await rm(store, { recursive: true });
});

const SAMPLE = await packTar([
  { name: "etc/", type: "directory", mode: 0o700, uid: 1, gid: 2 },
  { name: "etc/hosts", mode: 0o4755, content: "localhost" },
  { name: "etc/empty" },
  { name: "etc/link", type: "symlink", linkname: "hosts" },
  { name: "etc/hard", type: "link", linkname: "etc/hosts" },
  { name: "dev/sda", type: "block-device", devmajor: 8, devminor: 1 },
  { name: "etc/.wh.gone", mtime: new Date(0) },
  { name: "opt/.wh..wh..opq" },
  { name: "big", content: Buffer.alloc(3_000_000, "0123456789") },
  { name: "caps", pax: { "SCHILY.xattr.user.a": "value", mtime: "-5.25" }, content: "c" },
]);
const DIFF_ID = digestOf(SAMPLE);

function parsed(tar: Uint8Array): { entries: LayerEntry[]; contents: Buffer } {
  const entries: LayerEntry[] = [];
  const contents: Buffer[] = [];
  const reader = createLayerReader({
    entry: (entry) => entries.push(entry),
    contents: (bytes) => contents.push(Buffer.from(bytes)),
  });
  reader.push(tar);
  reader.end();
  return { entries, contents: Buffer.concat(contents) };
}

describe("writeLayer() and openLayer()", () => {
  it.each([1000, 64 * 1024, 10_000_000])("keep entries and contents, read in chunks of %i", async (size) => {
    const { entries, contents } = parsed(SAMPLE);
    const written = await writeLayer(directory, inChunks(SAMPLE, size));
    expect(written).toEqual({
      diffID: DIFF_ID,
      layerHash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      entryCount: entries.length,
      contentsBytes: contents.length,
      tarBytes: SAMPLE.length,
    });
    await using layer = await openLayer(directory);
    expect(layer.diffID).toBe(DIFF_ID);
    expect(layer.entries).toEqual(
      entries.map((entry) => (entry.kind === "file" ? entry : { ...entry, contentOffset: 0 })),
    );
    expect(Buffer.compare(await bytesOf(layer.readContents(0, contents.length)), contents)).toBe(0);
  });

  it("make a tree of the layer", async () => {
    await writeLayer(
      directory,
      inChunks(
        await packTar([
          { name: "a/f", content: "x" },
          { name: "g", type: "link", linkname: "a/f" },
        ]),
      ),
    );
    await using tree = await mergeLayers([await openLayer(directory)]);
    expect(await listing(tree)).toEqual([
      "/ directory 755",
      "a directory 755",
      'a/f file 644 "x" x2',
      'g file 644 "x" x2',
    ]);
  });

  it("take a layer with nothing in it", async () => {
    const tar = Buffer.alloc(1024);
    expect(await writeLayer(directory, inChunks(tar))).toMatchObject({ entryCount: 0, contentsBytes: 0 });
    await using layer = await openLayer(directory);
    expect(layer.entries).toEqual([]);
    expect(await bytesOf(layer.readContents(0, 0))).toHaveLength(0);
  });

  it("hash what follows the tar's end", async () => {
    const tar = Buffer.concat([SAMPLE, Buffer.from("trailing")]);
    expect(await writeLayer(directory, inChunks(tar), { diffID: digestOf(tar) })).toMatchObject({
      tarBytes: tar.length,
    });
  });

  it("use the algorithm of the diffID", async () => {
    const diffID = digestOf(SAMPLE, "sha512");
    expect(await writeLayer(directory, inChunks(SAMPLE), { diffID })).toMatchObject({ diffID });
    await using layer = await openLayer(directory);
    expect(layer.diffID).toBe(diffID);
  });
});

describe("writeLayer()", () => {
  it("leaves nothing of a tar that is not its diffID", async () => {
    const diffID = digestOf(Buffer.from("another"));
    await expect(writeLayer(directory, inChunks(SAMPLE), { diffID })).rejects.toMatchObject({
      code: "digest_mismatch",
    });
    expect(await readdir(join(store, "layers"))).toEqual([]);
  });

  it("leaves nothing of a tar that is cut off, or whose source fails", async () => {
    await expect(writeLayer(directory, inChunks(SAMPLE.subarray(0, 5000)))).rejects.toMatchObject({
      code: "tar_invalid",
    });
    const failing = async function* () {
      yield SAMPLE.subarray(0, 5000);
      throw new Error("reset");
    };
    await expect(writeLayer(directory, failing())).rejects.toThrow("reset");
    expect(await readdir(join(store, "layers"))).toEqual([]);
  });

  it("leaves nothing when aborted, and ends its source", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    let ended = false;
    const source = async function* () {
      try {
        yield SAMPLE.subarray(0, 512);
        abort.abort(reason);
        yield SAMPLE.subarray(512, 1024);
      } finally {
        ended = true;
      }
    };
    await expect(writeLayer(directory, source(), { signal: abort.signal })).rejects.toBe(reason);
    expect(ended).toBe(true);
    expect(await readdir(join(store, "layers"))).toEqual([]);
    await expect(writeLayer(directory, inChunks(SAMPLE), { signal: abort.signal })).rejects.toBe(reason);
  });

  it("does not read a tar whose archive is there", async () => {
    const first = await writeLayer(directory, inChunks(SAMPLE));
    let wasRead = false;
    const source = async function* () {
      wasRead = true;
      yield SAMPLE;
    };
    expect(await writeLayer(directory, source(), { diffID: DIFF_ID })).toEqual(first);
    expect(wasRead).toBe(false);
  });

  it("succeeds when several write the same archive at once", async () => {
    const all = await Promise.all(
      Array.from({ length: 4 }, () => writeLayer(directory, inChunks(SAMPLE, 4096), { diffID: DIFF_ID })),
    );
    expect(new Set(all.map((written) => written.diffID))).toEqual(new Set([DIFF_ID]));
    expect(await readdir(join(store, "layers"))).toEqual(["one"]);
    await (await openLayer(directory))[Symbol.asyncDispose]();
  });

  it.each(["idx", "contents"])("replaces an archive whose %s is damaged", async (file) => {
    await writeLayer(directory, inChunks(SAMPLE));
    await truncate(join(directory, file), 100);
    await writeLayer(directory, inChunks(SAMPLE), { diffID: DIFF_ID });
    await (await openLayer(directory))[Symbol.asyncDispose]();
    expect(await readdir(join(store, "layers"))).toEqual(["one"]);
  });

  it("never replaces another layer, or a directory of other things", async () => {
    await writeLayer(directory, inChunks(await packTar([{ name: "other" }])));
    await expect(writeLayer(directory, inChunks(SAMPLE))).rejects.toMatchObject({ code: "archive_invalid" });
    const home = join(store, "home");
    await mkdir(home);
    await writeFile(join(home, "thesis"), "years of work");
    await expect(writeLayer(home, inChunks(SAMPLE))).rejects.toMatchObject({ code: "archive_invalid" });
    expect(await readdir(home)).toEqual(["thesis"]);
    expect((await readdir(store)).toSorted()).toEqual(["home", "layers"]);
  });

  it("is not disturbed by what a killed writer left", async () => {
    await mkdir(`${directory}.tmp-left`, { recursive: true });
    await writeFile(join(`${directory}.tmp-left`, "contents"), "half");
    await expect(openLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
    await writeLayer(directory, inChunks(SAMPLE), { diffID: DIFF_ID });
    await (await openLayer(directory))[Symbol.asyncDispose]();
  });
});

describe("openLayer()", () => {
  it("refuses an index with any byte changed or cut off", async () => {
    await writeLayer(directory, inChunks(SAMPLE));
    const path = join(directory, "idx");
    const intact = await readFile(path);
    const refused = () => expect(openLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
    for (let at = 0; at < intact.length; at += 97) {
      const damaged = Buffer.from(intact);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await writeFile(path, damaged);
      await refused();
    }
    for (const length of [0, 15, 200, intact.length - 1]) {
      await writeFile(path, intact.subarray(0, length));
      await refused();
    }
    await writeFile(path, intact);
    await (await openLayer(directory))[Symbol.asyncDispose]();
  });

  it("names a version that it does not know, which writeLayer() replaces", async () => {
    await writeLayer(directory, inChunks(SAMPLE));
    const file = await readFile(join(directory, "idx"));
    for (const bytes of [file, file.subarray(0, 300)]) {
      bytes.writeUInt32LE(1, 8);
      await writeFile(join(directory, "idx"), bytes);
      await expect(openLayer(directory)).rejects.toMatchObject({
        code: "archive_invalid",
        message: expect.stringContaining("its version is 1, not 2: remove the archive"),
      });
    }
    await writeLayer(directory, inChunks(SAMPLE), { diffID: DIFF_ID });
    await (await openLayer(directory))[Symbol.asyncDispose]();
  });

  it("refuses contents of another size, or none", async () => {
    await writeLayer(directory, inChunks(SAMPLE));
    await truncate(join(directory, "contents"), 5);
    await expect(openLayer(directory)).rejects.toThrow(/contents have 5 bytes, not 3000010/);
    await rm(join(directory, "contents"));
    await expect(openLayer(directory)).rejects.toMatchObject({
      code: "archive_invalid",
      message: expect.stringContaining("ENOENT"),
    });
  });

  it("checks the signal", async () => {
    await writeLayer(directory, inChunks(SAMPLE));
    const reason = new Error("enough");
    await expect(openLayer(directory, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await using layer = await openLayer(directory);
    await expect(bytesOf(layer.readContents(0, 9, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
  });
});

const FILES = 2000;

function body(index: number): string {
  return `${index}:`.repeat(1 + ((index * 7919) % 900));
}

describe("contents of a layer archive", () => {
  beforeEach(async () => {
    const files = Array.from({ length: FILES }, (_, index) => ({ name: `f${index}`, content: body(index) }));
    await writeLayer(directory, inChunks(await packTar(files)));
  });

  it("are right forwards, backwards and by several readers at the same time", async () => {
    await using tree = await mergeLayers([await openLayer(directory)]);
    const readAll = async (order: readonly number[]) => {
      for (const index of order) expect(await textOf(tree, await tree.lookup(`f${index}`))).toBe(body(index));
    };
    const forwards = Array.from({ length: FILES }, (_, index) => index);
    await readAll(forwards);
    const strides = [0, 1, 2, 3].map((offset) => forwards.filter((index) => index % 4 === offset));
    await Promise.all([...strides.map(readAll), readAll(forwards.toReversed().slice(0, 300))]);
  });

  it("stay as they are while a chunk is held and others read on", async () => {
    await using layer = await openLayer(directory);
    const end = layer.entries.at(-1)?.contentOffset ?? 0;
    const held = layer.readContents(0, 1000)[Symbol.asyncIterator]();
    const chunk = (await held.next()).value as Uint8Array;
    const before = Buffer.from(chunk);
    for (let offset = 0; offset < end - 1000; offset += 90_000) await bytesOf(layer.readContents(offset, 1000));
    expect(Buffer.compare(chunk, before)).toBe(0);
    await held.return?.();
  });

  it("are given without waiting where they are in memory, and only there", async () => {
    const bytes = Buffer.alloc(3_000_000, "0123456789");
    const other = join(store, "layers", "two");
    await writeLayer(other, inChunks(SAMPLE, 100_000), { diffID: DIFF_ID });
    await using tree = await mergeLayers([await openLayer(other)]);
    const [big, last] = [await tree.lookup("big"), await tree.lookup("caps")];
    if (big === undefined || last === undefined) throw new Error("no big or no caps");
    expect(tree.readNow?.(big, 0, 10)).toBeUndefined();
    for await (const chunk of tree.read(big, { offset: 0, length: 10 })) void chunk;
    expect(Buffer.from(tree.readNow?.(big, 5, 1000) ?? [])).toEqual(bytes.subarray(5, 1005));
    expect(tree.readNow?.(big, 2_900_000, 10)).toBeUndefined();
    expect(tree.readNow?.(big, 2_999_999, 2)).toBeUndefined();
    let position = 0;
    for await (const chunk of tree.read(big)) position += chunk.length;
    expect(position).toBe(bytes.length);
    expect(Buffer.from(tree.readNow?.(last, 0, 1) ?? []).toString()).toBe("c");
    // At the end nothing is kept.
    expect(tree.readNow?.(last, 0, 1)).toBeUndefined();
  });

  it("refuse a range outside and a reader after closing", async () => {
    const layer = await openLayer(directory);
    await expect(bytesOf(layer.readContents(0, 1e9))).rejects.toMatchObject({ code: "archive_invalid" });
    await expect(bytesOf(layer.readContents(-1, 1))).rejects.toMatchObject({ code: "archive_invalid" });
    await layer[Symbol.asyncDispose]();
    await layer[Symbol.asyncDispose]();
    await expect(bytesOf(layer.readContents(0, 1))).rejects.toThrow("closed");
  });

  it("report a file that has been cut off since it was opened", async () => {
    await using layer = await openLayer(directory);
    await truncate(join(directory, "contents"), 300_000);
    await expect(bytesOf(layer.readContents(200_000, 200_000))).rejects.toMatchObject({
      code: "archive_invalid",
      message: expect.stringContaining("end at 300000"),
    });
    expect(await bytesOf(layer.readContents(0, 10))).toHaveLength(10);
  });

  it("are tried again after a read has failed", async () => {
    const path = join(directory, "contents");
    const intact = await readFile(path);
    await using layer = await openLayer(directory);
    await truncate(path, 300_000);
    await expect(bytesOf(layer.readContents(300_000, 10))).rejects.toMatchObject({ code: "archive_invalid" });
    await writeFile(path, intact);
    expect(await bytesOf(layer.readContents(300_000, 10))).toEqual(intact.subarray(300_000, 300_010));
  });
});
