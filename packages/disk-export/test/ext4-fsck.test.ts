import { copyFile, open, stat } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { writeDisk } from "../src/disk-writer.js";
import { createEmptyExt4Disk } from "../src/ext4/empty-disk.js";
import { createNameHash } from "../src/ext4/name-hash.js";
import { planExt4 } from "../src/ext4/plan.js";
import type { Ext4Options } from "../src/ext4/plan.js";
import { storable } from "./ext4-storable.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

async function writeExt4(spec: MemoryTreeSpec, options?: Ext4Options): Promise<string> {
  const path = join(await temporaryDirectory(), "disk");
  await writeDisk(await planExt4(memoryTree(spec), options), path);
  return path;
}

function expectClean(path: string): void {
  expect(runTool("e2fsck", ["-fn", path])).toMatchObject({ status: 0 });
}

async function expectCleanDisk(spec: MemoryTreeSpec, options?: Ext4Options): Promise<void> {
  expectClean(await writeExt4(spec, options));
}

const busyTree: MemoryTreeSpec = [
  {
    path: "file",
    content: "hello",
    xattrs: { "user.\xff": "x".repeat(200), "security.capability": new Uint8Array(20) },
  },
  { path: "again", hardlinkTo: "file" },
  { path: "long link", linkTarget: "t".repeat(4095) },
  { path: "null", kind: "char", device: { major: 1, minor: 3 } },
  { path: "disk", kind: "block", device: { major: 4095, minor: 0xfffff } },
  { path: "fifo", kind: "fifo" },
  { path: "socket", kind: "socket" },
  { path: "large", content: { size: 20 * MIB, fill: 3 } },
  {
    path: "sparse",
    content: { size: 14_000_000, fill: 7 },
    extents: Array.from({ length: 1400 }, (_, index) => ({ offset: index * 10_000, length: 3000 })),
  },
  ...Array.from({ length: 2000 }, (_, index) => ({ path: `d/${"n".repeat(index % 200)}${index}` })),
];

describe.skipIf(!hasTool("e2fsck"))("e2fsck (needs e2fsprogs)", () => {
  it("finds nothing on a disk with every kind of entry", () => expectCleanDisk(busyTree));

  it("finds nothing on any tree's disk", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, (spec) => expectCleanDisk(storable(spec))),
      { numRuns: 15 },
    );
  });

  it.each<[string, Ext4Options]>([
    ["of 1 MiB", { sizeBytes: MIB }],
    ["just over a group", { sizeBytes: 128 * MIB + 4096 }],
    ["of three groups and a little", { sizeBytes: 3 * 128 * MIB + 9 * MIB }],
    ["of 20 flex groups", { sizeBytes: 40 * GIB }],
    ["of 1 TiB", { sizeBytes: 1024 * GIB }],
    ["with 1 GiB free", { freeBytes: GIB }],
    ["with a journal", { journal: true }],
    ["with a journal of many extents", { sizeBytes: 200 * GIB }],
    ["with few inodes and some blocks for root", { freeBytes: GIB, inodes: 100, reservedPercent: 5 }],
  ])("finds nothing on a disk %s", (_, options) => expectCleanDisk([{ path: "d/f", content: "x" }], options), 30_000);

  it("finds nothing on a disk with more inodes than a group holds", async () => {
    const links = Array.from({ length: 40_000 }, (_, index) => ({ path: `d${index % 9}/${index}`, linkTarget: "x" }));
    await expectCleanDisk(links);
  }, 30_000);

  it("finds nothing on a directory of 40,000 entries", async () => {
    const name = (index: number): string => `${"n".repeat(index % 200)}\xe9${index}`;
    const links = Array.from({ length: 40_000 }, (_, index) => ({ path: `d/${name(index)}`, linkTarget: "x" }));
    await expectCleanDisk(links);
  }, 30_000);

  it("finds nothing on values of xattrs that have inodes of their own", async () => {
    const large = { "user.large": "v".repeat(65_536), "trusted.l\xe9": "w".repeat(5000), "user.small": "x" };
    await expectCleanDisk([
      { path: "a", xattrs: large },
      { path: "b", xattrs: large },
      { path: "d/c", kind: "fifo", xattrs: { "security.x": "v".repeat(65_536) } },
      { path: "d/short link", linkTarget: "a", xattrs: { "trusted.x": "v".repeat(65_536) } },
    ]);
  });

  it("finds nothing on a sparse file of 20 GiB", async () => {
    const extents = [
      { offset: 5 * GIB, length: 1 },
      { offset: 20 * GIB - 1, length: 1 },
    ];
    await expectCleanDisk([{ path: "s", content: { size: 20 * GIB, fill: 1 }, extents }]);
  });

  it("finds nothing where files cross into other groups", async () => {
    const content = { size: 50 * MIB + 3, fill: 1 };
    await expectCleanDisk(Array.from({ length: 6 }, (_, index) => ({ path: `f${index}`, content })));
  }, 60_000);

  it.each([
    ["the superblock", () => 1024 + 0x68],
    ["a group descriptor", () => 4096 + 0x8],
    ["a block bitmap", (descriptor: Buffer) => descriptor.readUInt32LE(0) * 4096 + 9],
    ["an inode bitmap", (descriptor: Buffer) => descriptor.readUInt32LE(4) * 4096],
    ["the root inode", (descriptor: Buffer) => descriptor.readUInt32LE(8) * 4096 + 256 + 8],
    ["a file's xattrs", (descriptor: Buffer) => descriptor.readUInt32LE(8) * 4096 + 12 * 256 - 1],
  ])("finds a flipped bit in %s", async (_, locate) => {
    const path = await writeExt4([{ path: "f", content: "x", xattrs: { "user.a": "value" } }]);
    const broken = `${path}.broken`;
    await copyFile(path, broken);
    await using file = await open(broken, "r+");
    const descriptor = Buffer.alloc(64);
    await file.read(descriptor, 0, 64, 4096);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, locate(descriptor));
    byte[0]! ^= 0x10;
    await file.write(byte, 0, 1, locate(descriptor));
    expectClean(path);
    expect(runTool("e2fsck", ["-fn", broken]).status).not.toBe(0);
  });
});

describe.skipIf(!hasTool("resize2fs") || !hasTool("e2fsck"))("resize2fs (needs e2fsprogs)", () => {
  it.each<[string, Ext4Options]>([
    ["the smallest disk", {}],
    ["a disk of 300 MiB", { sizeBytes: 300 * MIB }],
  ])(
    "grows %s to 60 GiB",
    async (_, options) => {
      const path = await writeExt4(busyTree, options);
      await using file = await open(path, "r+");
      await file.truncate(60 * GIB);
      expect(runTool("resize2fs", [path])).toMatchObject({ status: 0 });
      expectClean(path);
    },
    60_000,
  );
});

describe.skipIf(!hasTool("e2fsck"))("createEmptyExt4Disk() (needs e2fsprogs)", () => {
  it.each([1, 100, 8 * 1024, 4 * 1024 * 1024])(
    "makes a sound disk of %i MiB",
    async (mebibytes) => {
      const path = join(await temporaryDirectory(), "disk");
      await createEmptyExt4Disk(path, mebibytes * MIB);
      expectClean(path);
      const { size, blocks } = await stat(path);
      expect(size).toBe(mebibytes * MIB);
      expect(blocks * 512).toBeLessThan(8 * MIB + size / 10_000);
    },
    60_000,
  );

  it("rejects with the signal's reason and leaves nothing", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const reason = new Error("enough");
    const made = createEmptyExt4Disk(path, MIB, { signal: AbortSignal.abort(reason) });
    await expect(made).rejects.toBe(reason);
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe.skipIf(!hasTool("debugfs"))("debugfs (needs e2fsprogs)", () => {
  it("reads a file's bytes back", async () => {
    const path = await writeExt4([{ path: "d/f", content: "hello, disk" }]);
    expect(runTool("debugfs", ["-R", "cat /d/f", path]).output).toContain("hello, disk");
  });

  it("computes the same hash for every name of a directory's index", async () => {
    const uuid = "00112233-4455-6677-8899-aabbccddeeff";
    const names = Array.from({ length: 3000 }, (_, index) => `${"n".repeat(index % 200)}${index}`);
    const path = await writeExt4(
      names.map((name) => ({ path: `d/${name}`, linkTarget: "x" })),
      { uuid },
    );
    const { output } = runTool("debugfs", ["-R", "htree /d", path]);
    const nameHash = createNameHash(Buffer.from(uuid.replaceAll("-", ""), "hex"));
    const found = [...output.matchAll(/ 0x([0-9a-f]{8})-[0-9a-f]{8} \(\d+\) (n*\d+)\s/g)];
    expect(found.map(([, , name]) => name).sort()).toEqual(names.sort());
    expect(found.filter(([, hash, name]) => Number.parseInt(hash!, 16) !== nameHash(name!))).toEqual([]);
  });

  it("shows the xattrs and the times that Linux would", async () => {
    const path = await writeExt4([
      { path: "f", mtime: { seconds: 2 ** 32 + 1, nanoseconds: 5 }, xattrs: { "user.k": "v".repeat(200) } },
    ]);
    const { output } = runTool("debugfs", ["-R", "stat /f", path]);
    expect(output).toContain("mtime: 0x00000001:00000015");
    expect(output).toContain("user.k (200)");
  });
});
