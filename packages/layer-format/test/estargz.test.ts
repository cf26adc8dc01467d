import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { LayerEntry } from "../src/layer.js";
import { decompress } from "../src/node/compression/decompress.js";
import {
  packEstargz,
  writeEstargz,
  type WriteEstargzTarOptions,
  type WrittenEstargz,
} from "../src/node/toc/estargz-writer.js";
import { openTocLayer } from "../src/node/toc/chunk-source.js";
import { readToc } from "../src/node/toc/reader.js";
import { memoryLayer } from "../src/testing.js";
import { verifyToc } from "../src/toc/verify.js";
import { inChunks } from "./packed-tar.js";
import { readLayer } from "./read-layer.js";
import { archive, file, header, pax, record } from "./tar-builder.js";
import { memoryBlob, type MemoryBlob, memoryOutput, sha256, stargzFooter } from "./toc-blob.js";
import { bytesOf } from "./tree-listing.js";

let work = "";
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "lamella-estargz-test-"));
});
afterAll(() => rm(work, { recursive: true, force: true }));

interface Made {
  blob: MemoryBlob;
  bytes: Buffer;
  tar: Buffer;
  written: WrittenEstargz;
}

async function convert(tar: Uint8Array, options: WriteEstargzTarOptions = {}): Promise<Made> {
  const output = memoryOutput();
  const written = await writeEstargz(inChunks(tar), output, { temporaryDirectory: work, ...options });
  const bytes = output.bytes();
  const blob = memoryBlob(bytes, written.annotations);
  return { blob, bytes, tar: await bytesOf(decompress(inChunks(bytes))), written };
}

/** What a layer says, its data included; that of a tar and that of a table can be compared. */
function shown(entries: readonly LayerEntry[], data: (entry: LayerEntry) => string): object[] {
  return entries.map((entry) => {
    const { contentOffset: _offset, extents: _extents, xattrs, ...rest } = entry;
    const attributes = [...xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString("hex")}`);
    return { ...rest, xattrs: attributes.sort(), data: entry.kind === "file" ? data(entry) : "" };
  });
}

/** Files with their holes. */
function shownTar(tar: Uint8Array): object[] {
  const read = readLayer(tar);
  const dense = new Map(
    read.map(({ entry, contents }) => {
      if (entry.extents === undefined) return [entry, contents];
      const whole = Buffer.alloc(entry.size);
      let at = 0;
      for (const { offset, length } of entry.extents) {
        contents.copy(whole, offset, at, at + length);
        at += length;
      }
      return [entry, whole];
    }),
  );
  return shown(
    read.map(({ entry }) => entry).filter(({ path }) => !/^(stargz\.index\.json|\..*landmark)$/.test(path)),
    (entry) => dense.get(entry)?.toString("latin1") ?? "",
  );
}

async function shownBlob({ blob }: Made): Promise<object[]> {
  const toc = await readToc(blob, blob.descriptor);
  if (toc === undefined) throw new Error("no table");
  await using layer = openTocLayer(blob, blob.descriptor, toc, { diffID: blob.descriptor.digest });
  const contents = await bytesOf(layer.readContents(0, toc.contentsBytes));
  return shown(layer.entries, (entry) =>
    contents.toString("latin1", entry.contentOffset, entry.contentOffset + entry.size),
  );
}

const BIG = "0123456789".repeat(1000);
const SAMPLE = archive(
  header({ name: "./", type: "5", mode: 0o755 }),
  header({ name: "etc/", type: "5", mode: 0o700, uid: 1 }),
  file("etc/passwd", "root", { mtime: 1_700_000_000 }),
  header({ name: "etc/link", type: "2", linkName: "passwd" }),
  header({ name: "etc/hard", type: "1", linkName: "etc/passwd" }),
  file("etc/empty"),
  pax(
    [
      record("mtime", "-1.25"),
      record("SCHILY.xattr.security.capability", "\x01\0\xff"),
      record("SCHILY.xattr.user.e", ""),
    ].join(""),
  ),
  file("big", BIG, { mode: 0o4755 }),
  file("odd\xff\xfe", "bytes"),
  header({ name: "dev", type: "3", major: 1, minor: 3 }),
  file("usr/.wh.gone"),
  file("opt/.wh..wh..opq"),
  pax({
    "GNU.sparse.major": "0",
    "GNU.sparse.minor": "1",
    "GNU.sparse.size": "2000",
    "GNU.sparse.numblocks": "2",
    "GNU.sparse.map": "100,3,1500,2",
  }),
  file("sparse", "abcde"),
);

describe("writeEstargz()", () => {
  it.each([
    ["one member a chunk", {}],
    ["small chunks", { chunkSize: 1000 }],
    ["files that share members", { minChunkSize: 6000, chunkSize: 1000 }],
    ["no compression", { compressionLevel: 0 }],
    ["prioritised files", { prioritizedFiles: ["/big", "etc/hard"], chunkSize: 4096 }],
  ])("keeps what a layer says, with %s", async (_name, options) => {
    const made = await convert(SAMPLE, options);
    const byPath = (list: object[]): Map<string, object> =>
      new Map(list.map((entry) => [`${(entry as LayerEntry).kind} ${(entry as LayerEntry).path}`, entry]));
    expect(byPath(await shownBlob(made))).toEqual(byPath(shownTar(SAMPLE)));
    expect(await shownBlob(made)).toEqual(shownTar(made.tar));
  });

  it("says digest, diffID and sizes of what it wrote, and the annotations", async () => {
    const { bytes, tar, written } = await convert(SAMPLE);
    expect(written).toMatchObject({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: sha256(bytes),
      diffID: sha256(tar),
      size: bytes.length,
      uncompressedSize: tar.length,
      annotations: {
        "containerd.io/snapshot/stargz/toc.digest": written.tocDigest,
        "io.containers.estargz.uncompressed-size": String(tar.length),
      },
    });
    const table = readLayer(tar).at(-1);
    expect(table?.entry.path).toBe("stargz.index.json");
    expect(sha256(table?.contents ?? "")).toBe(written.tocDigest);
    expect(bytes.subarray(-51)).toEqual(stargzFooter(Number.parseInt(bytes.subarray(-35, -19).toString(), 16)));
  });

  it("makes the same bytes however the tar comes in pieces, and from its own output", async () => {
    const { bytes, tar } = await convert(SAMPLE, { chunkSize: 1000 });
    const output = memoryOutput();
    await writeEstargz(inChunks(SAMPLE, 7), output, { temporaryDirectory: work, chunkSize: 1000 });
    expect(output.bytes().equals(bytes)).toBe(true);
    const again = await convert(tar, { chunkSize: 1000 });
    expect(again.bytes.equals(bytes)).toBe(true);
    expect([...bytes.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  });

  it("begins a gzip member at each chunk, at the table and at the footer", async () => {
    const { blob, bytes } = await convert(SAMPLE, { chunkSize: 4096 });
    const toc = await readToc(blob, blob.descriptor);
    expect(
      toc?.chunks
        .filter(({ contentOffset }) => contentOffset >= 4)
        .slice(0, 3)
        .map(({ size }) => size),
    ).toEqual([4096, 4096, 1808]);
    for (const { blobOffset } of toc?.chunks ?? []) expect(bytes.readUInt16BE(blobOffset)).toBe(0x1f8b);
  });

  it("puts prioritised files first, after their parents and what they link to, and tells those that are not there", async () => {
    const { tar, written, blob } = await convert(SAMPLE, { prioritizedFiles: ["big", "./etc/hard", "nowhere"] });
    const paths = readLayer(tar).map(({ entry }) => entry.path);
    expect(paths.slice(0, 6)).toEqual(["", "big", "etc", "etc/passwd", "etc/hard", ".prefetch.landmark"]);
    expect(paths).toHaveLength(new Set(paths).size);
    expect(written.missingFiles).toEqual(["nowhere"]);
    const toc = await readToc(blob, blob.descriptor);
    const last = toc?.chunks[1];
    expect(last?.blobEnd).toBe(toc?.prefetchBytes);
    expect(readLayer((await convert(SAMPLE)).tar)[0]?.entry.path).toBe(".no.prefetch.landmark");
  });

  it("keeps the last of entries of one name", async () => {
    const { tar } = await convert(archive(file("a", "1"), file("b", "2"), file("./a", "3")));
    expect(
      readLayer(tar)
        .slice(1, 3)
        .map(({ entry, contents }) => `${entry.path}${contents.toString()}`),
    ).toEqual(["b2", "a3"]);
  });

  it("leaves the table out and gives it, where it is to be elsewhere", async () => {
    const { bytes, tar, written } = await convert(SAMPLE, { externalToc: true });
    expect(readLayer(tar).map(({ entry }) => entry.path)).not.toContain("stargz.index.json");
    expect(bytes.subarray(-30, -13).toString()).toBe("STARGZEXTERNALTOC");
    const blob = memoryBlob(bytes, written.annotations);
    expect(await readToc(blob, blob.descriptor)).toBeUndefined();
    const toc = await readToc(blob, blob.descriptor, { externalToc: written.externalToc });
    expect(toc).toMatchObject({ isVouchedFor: true, digest: written.tocDigest });
    if (toc !== undefined) expect(await verifyToc(inChunks(tar), toc)).toMatchObject({ inexactNames: 0 });
  });

  it.each([
    ["to a lower layer", [header({ name: "h", type: "1", linkName: "below" })]],
    ["to a later file", [header({ name: "h", type: "1", linkName: "f" }), file("f", "x")]],
    [
      "to a file that a later one replaces",
      [file("f", "1"), header({ name: "h", type: "1", linkName: "f" }), file("f", "2")],
    ],
    ["to a directory", [header({ name: "d", type: "5" }), header({ name: "h", type: "1", linkName: "d" })]],
  ])("refuses a hard link %s, which the format cannot say", async (_name, parts) => {
    await expect(convert(archive(...parts))).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it.each([{ chunkSize: 0 }, { chunkSize: 2 ** 30 }, { minChunkSize: -1 }, { compressionLevel: 10 }])(
    "refuses %o",
    async (options) => {
      await expect(convert(SAMPLE, options)).rejects.toThrow(RangeError);
    },
  );

  it("rejects with the signal's reason, before and midway, and leaves no temporary file", async () => {
    const reason = new Error("enough");
    await expect(convert(SAMPLE, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const output = {
      write: () => {
        controller.abort(reason);
        return Promise.resolve();
      },
    };
    const writing = writeEstargz(inChunks(SAMPLE), output, { signal: controller.signal, temporaryDirectory: work });
    await expect(writing).rejects.toBe(reason);
    expect(await readdir(work)).toEqual([]);
  });

  it("fails with the output's error", async () => {
    const output = { write: () => Promise.reject(new Error("no space")) };
    await expect(writeEstargz(inChunks(SAMPLE), output, { temporaryDirectory: work })).rejects.toThrow("no space");
    expect(await readdir(work)).toEqual([]);
  });
});

describe("packEstargz(), readToc() and verifyToc()", () => {
  const name = fc.stringMatching(/^[a-c\u00e9\uffff]{1,3}$/).map((text) => Buffer.from(text).toString("latin1"));
  const entry = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
    content: fc.uint8Array({ maxLength: 3000 }),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    mtime: fc.record({ seconds: fc.integer(), nanoseconds: fc.integer({ min: 0, max: 999_999_999 }) }),
    xattrs: fc.dictionary(fc.constantFrom("user.a", "user.\xff", "security.b"), fc.uint8Array({ maxLength: 20 })),
  });

  it("agree on any layer", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 12 }),
        fc.record({ chunkSize: fc.integer({ min: 1, max: 2000 }), minChunkSize: fc.constantFrom(0, 0, 3000) }),
        fc.array(name, { maxLength: 3 }),
        async (spec, sizes, prioritizedFiles) => {
          const layer = memoryLayer(spec);
          const output = memoryOutput();
          const written = await packEstargz(layer, output, { ...sizes, prioritizedFiles, compressionLevel: 1 });
          const bytes = output.bytes();
          const blob = memoryBlob(bytes, written.annotations);
          const tar = await bytesOf(decompress(inChunks(bytes)));
          const toc = await readToc(blob, blob.descriptor);
          if (toc === undefined) throw new Error("no table");
          expect(await verifyToc(inChunks(tar), toc)).toMatchObject({
            inexactNames: 0,
            inexactTimes: 0,
            entryCount: spec.length,
          });
          expect(await shownBlob({ blob, bytes, tar, written })).toEqual(shownTar(tar));
        },
      ),
      { numRuns: 40 },
    );
  });
});
