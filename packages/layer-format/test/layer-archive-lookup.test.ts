import { mkdtemp, open, readFile, rm, stat, writeFile, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { writeLayer } from "../src/node/archive/writer.js";
import { readLayer, type LayerArchive } from "../src/node/archive/lookup.js";
import type { ArchivedEntry } from "../src/node/archive/search.js";
import { inChunks, packTar } from "./packed-tar.js";
import { bytesOf } from "./tree-listing.js";

let store: string;
let directory: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "layer-lookup-"));
  directory = join(store, "one");
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(store, { recursive: true });
});

const LONG = `${"long/".repeat(60)}name`;
const SAMPLE = await packTar([
  { name: "twice", content: "first" },
  { name: "d/", type: "directory" },
  { name: "d/.wh..wh..opq" },
  { name: "d/f", content: "data" },
  { name: "d/.wh.f" },
  { name: "twice", content: "second" },
  { name: ".wh.d" },
  { name: "gone", content: "" },
  { name: ".wh.only" },
  { name: LONG, content: "deep" },
  { name: "link", type: "link", linkname: "d/f" },
  { name: "big", content: Buffer.alloc(700_000, "0123456789") },
]);

async function entryAt(archive: LayerArchive, path: string): Promise<ArchivedEntry> {
  const { entry } = await archive.lookup(path);
  if (entry === undefined) throw new Error(`no ${path}`);
  return entry;
}

describe("readLayer()", () => {
  beforeEach(async () => {
    await writeLayer(directory, inChunks(SAMPLE));
  });

  it("tells what the archive is without its entries", async () => {
    await using archive = await readLayer(directory);
    expect(archive).toMatchObject({ diffID: digestOf(SAMPLE), entryCount: 12, tarBytes: SAMPLE.length });
  });

  it("gives the entries in the tar's order, and each of them by its path", async () => {
    await using archive = await readLayer(directory);
    const entries: ArchivedEntry[] = [];
    for await (const entry of archive.entries()) entries.push(entry);
    expect(entries.map((entry) => entry.position)).toEqual(Array.from({ length: 12 }, (_, index) => index));
    expect(entries.map((entry) => entry.kind).slice(0, 5)).toEqual(["file", "directory", "opaque", "file", "whiteout"]);
    for (const entry of entries.slice(1)) {
      if (entry.kind === "whiteout" || entry.kind === "opaque") continue;
      expect((await archive.lookup(entry.path)).entry).toEqual(entry);
    }
  });

  it("gives the last entry of a path and the markers beside it", async () => {
    await using archive = await readLayer(directory);
    const nothing = { entry: undefined, isWhiteout: false, isOpaque: false };
    const position = (at: number): object => ({ entry: expect.objectContaining({ position: at }) });
    expect(await archive.lookup("twice")).toEqual({ ...nothing, ...position(5) });
    expect(await archive.lookup("d")).toEqual({ ...position(1), isWhiteout: true, isOpaque: true });
    expect(await archive.lookup("d/f")).toEqual({ ...nothing, ...position(3), isWhiteout: true });
    expect(await archive.lookup("only")).toEqual({ ...nothing, isWhiteout: true });
    expect(await archive.lookup("link")).toMatchObject({ entry: { kind: "hardlink", linkTarget: "d/f" } });
    for (const path of ["", "a", "d/", "d/g", "twic", "twice2", "\u00ff", "\u1234", LONG.slice(0, -1)])
      expect(await archive.lookup(path)).toEqual(nothing);
  });

  it("reads files and parts of them", async () => {
    await using archive = await readLayer(directory);
    const big = await entryAt(archive, "big");
    expect(await bytesOf(archive.readFile(big))).toEqual(Buffer.alloc(700_000, "0123456789"));
    expect(await bytesOf(archive.readFile(big, { offset: 699_995 }))).toEqual(Buffer.from("56789"));
    expect(await bytesOf(archive.readFile(big, { offset: 3, length: 4 }))).toEqual(Buffer.from("3456"));
    expect(await bytesOf(archive.readFile(await entryAt(archive, "gone")))).toHaveLength(0);
    expect(() => archive.readFile(big, { offset: 1, length: 700_000 })).toThrow(RangeError);
    expect(() => archive.readFile(big, { offset: -1 })).toThrow(RangeError);
    const link = await entryAt(archive, "link");
    expect(() => archive.readFile(link)).toThrow('cannot read "link" of the layer: it is a hardlink');
  });

  it("gives the digest of each file's data", async () => {
    await using archive = await readLayer(directory);
    const digest = async (path: string) => archive.contentDigest(await entryAt(archive, path));
    expect(await digest("twice")).toBe(digestOf(Buffer.from("second")));
    expect(await digest("big")).toBe(digestOf(Buffer.alloc(700_000, "0123456789")));
    expect(await digest("gone")).toBe(digestOf(Buffer.alloc(0)));
    expect(await digest("d")).toBeUndefined();
    const stray = { ...(await entryAt(archive, "big")), position: 12 };
    await expect(archive.contentDigest(stray)).rejects.toThrow(RangeError);
  });

  it("finds damaged data when the whole file is read", async () => {
    const path = join(directory, "contents");
    const contents = await readFile(path);
    contents[contents.length - 1]! ^= 1;
    await writeFile(path, contents);
    await using archive = await readLayer(directory);
    await expect(bytesOf(archive.readFile(await entryAt(archive, "big")))).rejects.toMatchObject({
      code: "archive_invalid",
      message: expect.stringContaining('cannot read "big" of layer sha256:'),
    });
  });

  it("never gives what a changed byte of the index makes of it", async () => {
    const path = join(directory, "idx");
    const intact = await readFile(path);
    let refused = 0;
    for (let at = 0; at < intact.length; at += 61) {
      const damaged = Buffer.from(intact);
      damaged[at] = (damaged[at] ?? 0) ^ 0x04;
      await writeFile(path, damaged);
      try {
        await using archive = await readLayer(directory);
        const { entry } = await archive.lookup("d/f");
        expect(entry).toMatchObject({ position: 3, size: 4 });
      } catch (error) {
        expect(error).toMatchObject({ code: "archive_invalid" });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });

  it("rejects with the signal's reason, and after closing", async () => {
    const reason = new Error("enough");
    const aborted = { signal: AbortSignal.abort(reason) };
    await expect(readLayer(directory, aborted)).rejects.toBe(reason);
    const archive = await readLayer(directory);
    const big = await entryAt(archive, "big");
    const first = (): Promise<unknown> => archive.entries(aborted)[Symbol.asyncIterator]().next();
    await expect(archive.lookup("big", aborted)).rejects.toBe(reason);
    await expect(archive.contentDigest(big, aborted)).rejects.toBe(reason);
    await expect(bytesOf(archive.readFile(big, aborted))).rejects.toBe(reason);
    await expect(first()).rejects.toBe(reason);
    await archive[Symbol.asyncDispose]();
    await archive[Symbol.asyncDispose]();
    await expect(archive.lookup("big")).rejects.toThrow("closed");
    await expect(bytesOf(archive.readFile(big))).rejects.toThrow("closed");
  });
});

describe("lookup()", () => {
  it("finds what a search of all entries finds", async () => {
    const name = fc.constantFrom("a", "a-", "a/b", "a/b/c", "aa", ".wh.a", "a/.wh.b", "a/.wh..wh..opq", "b");
    await fc.assert(
      fc.asyncProperty(fc.array(name, { maxLength: 12 }), async (names) => {
        const place = await mkdtemp(join(store, "many-"));
        await writeLayer(join(place, "one"), inChunks(await packTar(names.map((each) => ({ name: each })))));
        await using archive = await readLayer(join(place, "one"));
        const entries: ArchivedEntry[] = [];
        for await (const entry of archive.entries()) entries.push(entry);
        for (const path of ["a", "a-", "a/b", "a/b/c", "aa", "b", "c"]) {
          const here = entries.filter((entry) => entry.path === path);
          expect(await archive.lookup(path)).toEqual({
            entry: here.findLast((entry) => entry.kind === "file"),
            isWhiteout: here.some((entry) => entry.kind === "whiteout"),
            isOpaque: here.some((entry) => entry.kind === "opaque"),
          });
        }
      }),
      { numRuns: 40 },
    );
  });

  it("reads a few dozen small pages of an index of 100,000 entries", async () => {
    const names = Array.from({ length: 100_000 }, (_, index) => `directory-${index % 100}/file-${index}`);
    await writeLayer(directory, tarOf(names));
    expect((await stat(join(directory, "idx"))).size).toBeGreaterThan(8_000_000);
    await using archive = await readLayer(directory);
    const reads = await countReads(directory);
    expect((await archive.lookup("directory-77/file-1777")).entry?.position).toBe(1777);
    expect(reads()).toBeLessThanOrEqual(40 * 4096);
    expect(reads()).toBeGreaterThan(4096);
    expect((await archive.lookup("directory-77/file-none")).entry).toBeUndefined();
    expect(reads()).toBeLessThanOrEqual(80 * 4096);
  });
});

/** A tar of empty files, one header each, made as it is read. */
async function* tarOf(names: readonly string[]): AsyncGenerator<Uint8Array> {
  const one = (await packTar([{ name: "x" }])).subarray(0, 512);
  const sum = one.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0) - "x".charCodeAt(0);
  for (const name of names) {
    const header = Buffer.from(one);
    const bytes = Buffer.from(name);
    bytes.copy(header);
    const checksum = bytes.reduce((total, byte) => total + byte, sum);
    header.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
    yield header;
  }
  yield Buffer.alloc(1024);
}

/** Counts the bytes that any file handle is asked for from now on. */
async function countReads(place: string): Promise<() => number> {
  await using handle = await open(join(place, "idx"));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  const read = vi.spyOn(prototype, "read");
  return () => read.mock.calls.reduce((sum, call) => sum + (call as unknown as [Buffer, number, number])[2], 0);
}
