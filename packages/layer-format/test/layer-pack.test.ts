import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import * as zlib from "node:zlib";

import { afterAll, describe, expect, it } from "vitest";

import type { FileTree } from "../src/file-tree.js";
import type { LayerEntry } from "../src/layer.js";
import { mergeLayers } from "../src/merge/merge.js";
import { decompress } from "../src/node/compression/decompress.js";
import { openDirectoryTree } from "../src/node/directory/directory-tree.js";
import { openLayer } from "../src/node/archive/reader.js";
import { writeLayer } from "../src/node/archive/writer.js";
import { type LayerOutput, packLayer, packTar } from "../src/node/blob/layer-pack.js";
import type { TarInput } from "../src/tar/writer.js";
import { memoryTree } from "../src/testing.js";
import { inChunks } from "./packed-tar.js";
import { readLayer } from "./read-layer.js";
import { bytesOf, entriesOf } from "./tree-listing.js";

const HAS_ZSTD = "createZstdCompress" in zlib;
const TEXT = Array.from({ length: 30_000 }, (_, index) => `line ${index * 7919}\n`).join("");
const PLAIN = { mode: 0o644, uid: 0, gid: 0, xattrs: new Map(), linkTarget: "", deviceMajor: 0, deviceMinor: 0 };

interface Collected extends LayerOutput {
  bytes(): Buffer;
}

function collect(): Collected {
  const parts: Buffer[] = [];
  return { write: async (bytes) => parts.push(Buffer.from(bytes)), bytes: () => Buffer.concat(parts) };
}

function sampleTree(): FileTree {
  return memoryTree([
    {
      path: "bin/tool",
      content: "#!/bin/sh\n",
      mode: 0o4755,
      xattrs: { "security.capability": new Uint8Array([1, 0, 255]) },
    },
    { path: "bin/alias", hardlinkTo: "bin/tool" },
    { path: "dev/null", kind: "char", device: { major: 1, minor: 3 }, mode: 0o666 },
    { path: "etc/text", content: TEXT, mtime: { seconds: 1_700_000_000, nanoseconds: 5 }, uid: 1000, gid: 70_000 },
    { path: "lib", linkTarget: "usr/lib" },
    { path: "run/pipe", kind: "fifo" },
    { path: "sparse", content: { size: 1 << 30, fill: 7 }, extents: [{ offset: 4096, length: 512 }] },
  ]);
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

describe("packLayer()", () => {
  const work = mkdtempSync(join(tmpdir(), "layer-pack-"));
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it("writes a plain tar, with its digest as both", async () => {
    const output = collect();
    const packed = await packLayer(sampleTree(), output, { compression: "none" });
    const tar = output.bytes();
    expect(packed).toEqual({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: sha256(tar),
      diffID: sha256(tar),
      size: tar.length,
      uncompressedSize: tar.length,
      omittedSockets: 0,
    });
    execFileSync("tar", ["-tf", "-"], { input: tar });
  });

  it("writes gzip unless told otherwise, with the digests of both forms", async () => {
    const [plain, output] = [collect(), collect()];
    await packLayer(sampleTree(), plain, { compression: "none" });
    const packed = await packLayer(sampleTree(), output);
    const [blob, tar] = [output.bytes(), plain.bytes()];
    expect(packed).toMatchObject({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: sha256(blob),
      size: blob.length,
      diffID: sha256(tar),
      uncompressedSize: tar.length,
    });
    expect(execFileSync("gzip", ["-dc"], { input: blob }).equals(tar)).toBe(true);
  });

  it("says neither when nor where a gzip was made", async () => {
    const output = collect();
    await packLayer(sampleTree(), output);
    expect(output.bytes().subarray(0, 10).toString("hex")).toBe("1f8b08000000000000ff");
  });

  it.each(["none", "gzip"] as const)("writes the same bytes again: %s", async (compression) => {
    const outputs = [collect(), collect()];
    for (const output of outputs) await packLayer(sampleTree(), output, { compression, level: undefined });
    expect(outputs[0]?.bytes().equals(outputs[1]?.bytes() ?? Buffer.alloc(0))).toBe(true);
  });

  it("makes less at a higher level", async () => {
    const [fast, best] = [collect(), collect()];
    await packLayer(sampleTree(), fast, { level: 1 });
    await packLayer(sampleTree(), best, { level: 9 });
    expect(best.bytes().length).toBeLessThan(fast.bytes().length);
    expect(gunzipSync(best.bytes()).equals(gunzipSync(fast.bytes()))).toBe(true);
  });

  it("loses nothing of a tree", async () => {
    const output = collect();
    const { diffID } = await packLayer(sampleTree(), output);
    const directory = join(work, "archive");
    await writeLayer(directory, decompress(inChunks(output.bytes())), { diffID });
    await using tree = await mergeLayers([await openLayer(directory)]);
    const original = sampleTree();
    const described = async (from: FileTree): Promise<unknown[]> =>
      (await entriesOf(from)).map((entry) => ({ ...entry, locality: 0, xattrs: [...entry.xattrs] }));
    expect(await described(tree)).toEqual(await described(original));
    const text = await tree.lookup("etc/text");
    const sparse = await tree.lookup("sparse");
    if (text === undefined || sparse === undefined) throw new Error("not there");
    expect((await bytesOf(tree.read(text))).toString()).toBe(TEXT);
    expect(await bytesOf(tree.read(sparse, { offset: 4000, length: 700 }))).toEqual(
      Buffer.concat([Buffer.alloc(96), Buffer.alloc(512, 7), Buffer.alloc(92)]),
    );
  });

  it("writes entries as they come, whiteouts too", async () => {
    const output = collect();
    async function* entries(): AsyncGenerator<TarInput> {
      const node = { ...PLAIN, mtimeSeconds: 0, mtimeNanoseconds: 0, size: 0 };
      yield { ...node, path: "gone", kind: "whiteout" };
      yield { ...node, path: "dir", kind: "opaque" };
    }
    await packLayer(entries(), output, { compression: "none" });
    expect(readLayer(output.bytes()).map(({ entry }) => `${entry.kind} ${entry.path}`)).toEqual([
      "whiteout gone",
      "opaque dir",
    ]);
  });

  it("sets times after SOURCE_DATE_EPOCH to it and keeps those before", async () => {
    const tree = memoryTree([
      { path: "before", mtime: { seconds: 999, nanoseconds: 999_999_999 } },
      { path: "just-after", mtime: { seconds: 1000, nanoseconds: 1 } },
      { path: "long-after", content: "kept", mtime: 5000 },
    ]);
    const output = collect();
    await packLayer(tree, output, { compression: "none", sourceDateEpoch: 1000 });
    const read = readLayer(output.bytes());
    const time = ({ mtimeSeconds, mtimeNanoseconds }: LayerEntry): number[] => [mtimeSeconds, mtimeNanoseconds];
    expect(read.slice(1).map(({ entry }) => time(entry))).toEqual([
      [999, 999_999_999],
      [1000, 0],
      [1000, 0],
    ]);
    expect(read.at(-1)?.contents.toString()).toBe("kept");
  });

  it("packs a directory, leaves its sockets out and counts them", async () => {
    const directory = mkdtempSync(join(work, "directory-"));
    writeFileSync(join(directory, "file"), "content");
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(join(directory, "socket"), resolve);
    });
    try {
      const output = collect();
      await using tree = await openDirectoryTree(directory);
      const { omittedSockets } = await packLayer(tree, output, { compression: "none" });
      expect(omittedSockets).toBe(1);
      expect(readLayer(output.bytes()).map(({ entry }) => entry.path)).toEqual(["", "file"]);
    } finally {
      server.close();
    }
  });

  it("refuses a file that would be read as a whiteout", async () => {
    const packing = packLayer(memoryTree([{ path: "dir/.wh.file" }]), collect());
    await expect(packing).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it.each([
    ["none", 1],
    ["gzip", 10],
    ["gzip", 0],
    ["zstd", 23],
    ["zstd", 1.5],
  ] as const)("refuses a level that there is not: %s %d", async (compression, level) => {
    await expect(packLayer(sampleTree(), collect(), { compression, level })).rejects.toThrow(RangeError);
  });

  it("writes zstd, with a checksum, or says that it needs a later Node", async () => {
    const output = collect();
    const packing = packLayer(sampleTree(), output, { compression: "zstd" });
    if (HAS_ZSTD) {
      const packed = await packing;
      const blob = output.bytes();
      expect(packed).toMatchObject({ mediaType: "application/vnd.oci.image.layer.v1.tar+zstd", digest: sha256(blob) });
      expect(sha256(await bytesOf(decompress(inChunks(blob))))).toBe(packed.diffID);
      expect((blob[4] ?? 0) & 4).toBe(4);
      return;
    }
    await expect(packing).rejects.toMatchObject({
      code: "compression_unavailable",
      message: `cannot compress layer with zstd: that needs Node 22.15 or later, this is ${process.versions.node}`,
    });
  });
});

describe("packTar()", () => {
  const noise = randomBytes(1 << 16);

  /** Far more than may be in memory, and how much of it was taken. */
  function endless(): { source: AsyncGenerator<Uint8Array>; taken(): number; isClosed(): boolean } {
    let taken = 0;
    let isClosed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          await turn();
          taken += 1 << 16;
          yield new Uint8Array(noise);
        }
      } finally {
        isClosed = true;
      }
    }
    return { source: source(), taken: () => taken, isClosed: () => isClosed };
  }

  it("keeps the tar's own bytes", async () => {
    const tar = Buffer.from(TEXT);
    const output = collect();
    const { diffID } = await packTar(inChunks(tar), output);
    expect(diffID).toBe(sha256(tar));
    expect(gunzipSync(output.bytes()).equals(tar)).toBe(true);
  });

  it.each(["none", "gzip"] as const)("reads no further than its output takes: %s", async (compression) => {
    const { source, taken, isClosed } = endless();
    const full = new AbortController();
    const stuck = new Promise<never>((_, reject) => {
      full.signal.addEventListener("abort", () => reject(new Error("the output is full")));
    });
    const packing = packTar(
      source,
      { write: () => stuck },
      { compression, level: compression === "gzip" ? 1 : undefined },
    );
    for (let before = -1; taken() !== before; await sleep(100)) before = taken();
    expect(taken()).toBeLessThan(16 << 20);
    full.abort();
    await expect(packing).rejects.toThrow("the output is full");
    expect(isClosed()).toBe(true);
  });

  it.each(["none", "gzip"] as const)(
    "rejects with the signal's reason and closes its source: %s",
    async (compression) => {
      const reason = new Error("enough");
      await expect(packTar(endless().source, collect(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      const { source, isClosed } = endless();
      const abort = new AbortController();
      const packing = packTar(source, { write: async () => undefined }, { compression, signal: abort.signal });
      setTimeout(() => abort.abort(reason), 30);
      await expect(packing).rejects.toBe(reason);
      expect(isClosed()).toBe(true);
    },
  );
});
