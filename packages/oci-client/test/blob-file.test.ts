import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Descriptor, digestOf } from "@lamella/refs";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { addRange, cutRanges, missingRanges } from "../src/byte-ranges.js";
import {
  createRegistryClient,
  downloadBlobToFile,
  type FileDownloadProgress,
  type RegistryClient,
  type RegistryClientOptions,
  type Repository,
} from "../src/index.js";
import { type FaultProxy, startFaultProxy } from "../src/testing.js";
import { failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

const MIB = 1024 * 1024;
const QUICK = { baseMs: 1, capMs: 20 };

let registry: TestRegistry;
let proxy: FaultProxy;
let directory: string;
let path: string;
const clients: RegistryClient[] = [];

function open(options: RegistryClientOptions = {}): Repository {
  const client = createRegistryClient({ retry: QUICK, ...options });
  clients.push(client);
  return client.repository({ domain: proxy.host, path: PATH });
}

beforeEach(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy({ upstream: registry.url });
  directory = await mkdtemp(join(tmpdir(), "lamella-blob-file-"));
  path = join(directory, "blob");
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await proxy.close();
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function digestAt(file: string): Promise<string> {
  return digestOf(await readFile(file));
}

/** Ends a download after it has received so many bytes, as a process that ends would. */
async function cutOff(layer: Descriptor, afterBytes: number, ranges: number): Promise<void> {
  const controller = new AbortController();
  const reason = new Error("cut off");
  const onProgress = ({ receivedBytes }: FileDownloadProgress): void => {
    if (receivedBytes >= afterBytes) controller.abort(reason);
  };
  const { signal } = controller;
  await expect(downloadBlobToFile(open(), layer, path, { signal, ranges, onProgress })).rejects.toBe(reason);
}

describe("downloadBlobToFile()", () => {
  it("leaves the blob, and nothing beside it", async () => {
    const layer = registry.addBlob(pseudoRandom(3_000_000));
    const progress: number[] = [];
    const result = await downloadBlobToFile(open(), layer, path, {
      onProgress: ({ receivedBytes, totalBytes }) => {
        expect(totalBytes).toBe(layer.size);
        progress.push(receivedBytes);
      },
    });
    expect(result).toEqual({ fetchedBytes: layer.size, resumedBytes: 0 });
    expect(await digestAt(path)).toBe(layer.digest);
    expect(await readdir(directory)).toEqual(["blob"]);
    expect(progress.at(0)).toBe(0);
    expect(progress.at(-1)).toBe(layer.size);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  });

  it("brings an empty blob", async () => {
    const layer = registry.addBlob(new Uint8Array());
    await downloadBlobToFile(open(), layer, path);
    expect((await stat(path)).size).toBe(0);
  });

  it("sends nothing for a file that is there, and replaces one with other content", async () => {
    const bytes = pseudoRandom(100_000);
    const layer = registry.addBlob(bytes);
    await writeFile(path, bytes);
    expect(await downloadBlobToFile(open(), layer, path)).toEqual({ fetchedBytes: 0, resumedBytes: 100_000 });
    expect(proxy.requests).toEqual([]);
    await writeFile(path, bytes.toReversed());
    await downloadBlobToFile(open(), layer, path);
    expect(await digestAt(path)).toBe(layer.digest);
  });

  it.each([1, 4])("fetches only what is missing after a run that was cut off, with %d ranges", async (ranges) => {
    const layer = registry.addBlob(randomBytes(40 * MIB));
    await cutOff(layer, 15 * MIB, ranges);
    expect((await readdir(directory)).toSorted()).toEqual([
      expect.stringMatching(/^blob\.[0-9a-f]{16}\.part$/),
      expect.stringMatching(/^blob\.[0-9a-f]{16}\.ranges$/),
    ]);
    const before = proxy.requests.length;
    const { fetchedBytes, resumedBytes } = await downloadBlobToFile(open(), layer, path, { ranges });
    expect(resumedBytes).toBeGreaterThanOrEqual(15 * MIB);
    expect(fetchedBytes + resumedBytes).toBe(layer.size);
    const sent = proxy.requests.slice(before).reduce((total, { sentBytes }) => total + sentBytes, 0);
    expect(sent).toBe(fetchedBytes);
    expect(await digestAt(path)).toBe(layer.digest);
    expect(await readdir(directory)).toEqual(["blob"]);
  });

  it("fetches several ranges at once, and nothing twice", async () => {
    const layer = registry.addBlob(randomBytes(40 * MIB));
    await downloadBlobToFile(open(), layer, path, { ranges: 4 });
    expect(await digestAt(path)).toBe(layer.digest);
    expect(proxy.requests.map(({ range }) => range).toSorted()).toEqual(
      [0, 1, 2, 3, 4].map((index) => `bytes=${index * 8 * MIB}-${(index + 1) * 8 * MIB - 1}`).toSorted(),
    );
    expect(proxy.connections).toBe(4);
    expect(proxy.sentBytes()).toBe(layer.size);
  });

  it.each([
    ["are ignored", { kind: "ignore_range" }],
    ["are answered with others", { kind: "headers", set: { "content-range": "bytes 1-2/3" } }],
    ["are refused", { kind: "answer", status: 416 }],
  ] as const)("reads one stream when ranges %s", async (_, action) => {
    const layer = registry.addBlob(randomBytes(20 * MIB));
    proxy.setFaults([{ hasRange: true, action }]);
    await downloadBlobToFile(open(), layer, path, { ranges: 4 });
    expect(await digestAt(path)).toBe(layer.digest);
    expect(proxy.requests.map(({ range }) => range)).toEqual([`bytes=0-${8 * MIB - 1}`, undefined]);
  });

  it("begins anew when a part cannot be read on from", async () => {
    const layer = registry.addBlob(randomBytes(4 * MIB));
    await cutOff(layer, 2 * MIB, 1);
    proxy.setFaults([{ hasRange: true, action: { kind: "ignore_range" } }]);
    expect(await downloadBlobToFile(open(), layer, path)).toMatchObject({ resumedBytes: 0 });
    expect(await digestAt(path)).toBe(layer.digest);
  });

  it("fetches once more what was wrong in an earlier part", async () => {
    const layer = registry.addBlob(randomBytes(4 * MIB));
    await cutOff(layer, 2 * MIB, 1);
    const part = (await readdir(directory)).find((name) => name.endsWith(".part")) ?? "";
    const bytes = await readFile(join(directory, part));
    bytes[5]! ^= 1;
    await writeFile(join(directory, part), bytes);
    await downloadBlobToFile(open(), layer, path);
    expect(await digestAt(path)).toBe(layer.digest);
  });

  it("passes over notes that are none, or of bytes that are not there", async () => {
    const layer = registry.addBlob(randomBytes(4 * MIB));
    await cutOff(layer, MIB, 1);
    const notes = (await readdir(directory)).find((name) => name.endsWith(".ranges")) ?? "";
    await writeFile(join(directory, notes), `x\n0 -1\n${4 * MIB - 99} 99\n9007199254740999 1\n0 1024\n1024 10`);
    expect(await downloadBlobToFile(open(), layer, path)).toMatchObject({ resumedBytes: 1024 });
    expect(await digestAt(path)).toBe(layer.digest);
  });

  it.each([1, 4])("removes what is wrong, with %d ranges", async (ranges) => {
    const layer = registry.addBlob(randomBytes(20 * MIB));
    proxy.setFaults([{ action: { kind: "corrupt", atByte: 70_000 } }]);
    await expect(downloadBlobToFile(open(), layer, path, { ranges })).rejects.toThrow(failure("digest_mismatch"));
    expect(await readdir(directory)).toEqual([]);
  });

  it("leaves nothing of a blob that is not there", async () => {
    const layer = { ...registry.addBlob(pseudoRandom(10)), digest: digestOf(new Uint8Array(1)) };
    await expect(downloadBlobToFile(open(), layer, path)).rejects.toThrow(failure("not_found"));
    expect(await readdir(directory)).toEqual([]);
  });

  it("says that the file system fails, and sends nothing then", async () => {
    const layer = registry.addBlob(pseudoRandom(10));
    const file = join(directory, "no", "directory");
    await expect(downloadBlobToFile(open(), layer, file)).rejects.toThrow(failure("storage", "ENOENT"));
    expect(proxy.requests).toEqual([]);
  });

  it.each([0, 17, 1.5])("refuses %d ranges", async (ranges) => {
    const layer = registry.addBlob(pseudoRandom(10));
    await expect(downloadBlobToFile(open(), layer, path, { ranges })).rejects.toThrow(RangeError);
  });

  it("stops before anything is sent or written when its signal has aborted", async () => {
    const reason = new Error("stop");
    const layer = registry.addBlob(pseudoRandom(10));
    const signal = AbortSignal.abort(reason);
    await expect(downloadBlobToFile(open(), layer, path, { signal })).rejects.toBe(reason);
    expect(proxy.requests).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("fetchRange()", () => {
  it("gives exactly the bytes asked for, wherever they are", async () => {
    const bytes = pseudoRandom(300_000);
    const layer = registry.addBlob(bytes);
    const repository = open();
    for (const [offset, length] of [
      [0, 1],
      [0, 300_000],
      [299_999, 1],
      [100_000, 150_000],
      [5, 0],
    ] as const) {
      const part = await readAll(repository.fetchRange(layer, { offset, length }));
      expect(digestOf(part)).toBe(digestOf(bytes.subarray(offset, offset + length)));
    }
  });

  it("resumes a range that breaks", async () => {
    const bytes = pseudoRandom(300_000);
    const layer = registry.addBlob(bytes);
    proxy.setFaults([{ times: 2, action: { kind: "reset", afterBytes: 50_000 } }]);
    const part = await readAll(open().fetchRange(layer, { offset: 100_000, length: 150_000 }));
    expect(digestOf(part)).toBe(digestOf(bytes.subarray(100_000, 250_000)));
    expect(proxy.requests.map(({ range }) => range)).toEqual([
      "bytes=100000-249999",
      "bytes=150000-249999",
      "bytes=200000-249999",
    ]);
  });

  it.each([
    ["is ignored", { kind: "ignore_range" }],
    ["is answered with another", { kind: "headers", set: { "content-range": "bytes 0-9/300000" } }],
    ["is answered with a longer one", { kind: "headers", set: { "content-range": "bytes 10-20/300000" } }],
    ["is of another whole", { kind: "headers", set: { "content-range": "bytes 10-19/20" } }],
    ["is answered without one", { kind: "headers", set: { "content-range": undefined } }],
  ] as const)("gives nothing when the range %s", async (_, action) => {
    const layer = registry.addBlob(pseudoRandom(300_000));
    proxy.setFaults([{ action }]);
    const chunks: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of open().fetchRange(layer, { offset: 10, length: 10 })) chunks.push(chunk);
    };
    await expect(read()).rejects.toThrow(failure("range_unusable"));
    expect(chunks).toEqual([]);
  });

  it("refuses a body that is longer than its range", async () => {
    const layer = registry.addBlob(pseudoRandom(300_000));
    proxy.setFaults([{ action: { kind: "extend", bytes: 5 } }]);
    const body = open().fetchRange(layer, { offset: 10, length: 10 });
    await expect(readAll(body)).rejects.toThrow(failure("range_unusable", "sends more"));
  });

  it("refuses a body that stays shorter than its range", async () => {
    const layer = registry.addBlob(pseudoRandom(300_000));
    proxy.setFaults([{ action: { kind: "truncate", afterBytes: 0 } }]);
    const body = open().fetchRange(layer, { offset: 10, length: 10 });
    await expect(readAll(body)).rejects.toThrow(failure("network", "ends at 10"));
  });

  it("sends nothing for a range that is not within the blob, nor when its signal has aborted", async () => {
    const layer = registry.addBlob(pseudoRandom(10));
    for (const [offset, length] of [
      [0, 11],
      [-1, 2],
      [11, 0],
      [0.5, 1],
      [0, Number.NaN],
    ] as const) {
      await expect(readAll(open().fetchRange(layer, { offset, length }))).rejects.toThrow(RangeError);
    }
    const reason = new Error("stop");
    const options = { signal: AbortSignal.abort(reason) };
    await expect(readAll(open().fetchRange(layer, { offset: 0, length: 1 }, options))).rejects.toBe(reason);
    expect(proxy.requests).toEqual([]);
  });
});

describe("ranges of bytes", () => {
  const size = 60;
  const ranges = fc.array(
    fc
      .tuple(fc.nat(size - 1), fc.integer({ min: 1, max: size }))
      .map(([offset, length]) => ({ offset, length: Math.min(length, size - offset) })),
  );

  it("cover what was added, and miss the rest, whatever the order", () => {
    fc.assert(
      fc.property(ranges, fc.integer({ min: 1, max: 20 }), (added, pieceLength) => {
        const marks = new Set(added.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i)));
        const done = added.reduce<readonly { offset: number; length: number }[]>(addRange, []);
        const missing = cutRanges(missingRanges(done, size), pieceLength);
        const left = missing.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i));
        expect(left).toEqual(Array.from({ length: size }, (_, i) => i).filter((i) => !marks.has(i)));
        expect(missing.every(({ length }) => length > 0 && length <= pieceLength)).toBe(true);
      }),
    );
  });
});
