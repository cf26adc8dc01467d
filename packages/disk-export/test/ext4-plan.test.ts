import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { planExt4 } from "../src/ext4/plan.js";
import type { Ext4Options } from "../src/ext4/plan.js";
import { collect } from "./bytes.js";
import { storable } from "./ext4-storable.js";
import { readExt4 } from "./ext4-reader.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";

const MIB = 2 ** 20;

function readAll(plan: DiskPlan): Promise<Uint8Array> {
  return collect(plan.read(0, plan.sizeBytes));
}

async function makeDisk(spec: MemoryTreeSpec, options?: Ext4Options): Promise<Uint8Array> {
  return readAll(await planExt4(memoryTree(spec), options));
}

/** What the disk should show: the tree, and a lost+found if it has none. */
function withLostAndFound(spec: MemoryTreeSpec): MemoryTreeSpec {
  if (spec.some(({ path }) => path === "lost+found" || path.startsWith("lost+found/"))) return spec;
  return [...spec, { path: "lost+found", kind: "directory", mode: 0o700 }];
}

async function roundTrip(spec: MemoryTreeSpec, options?: Ext4Options): Promise<void> {
  expect(readExt4(await makeDisk(spec, options))).toEqual(await listTree(memoryTree(withLostAndFound(spec))));
}

function uuidOf(disk: Uint8Array): string {
  return Buffer.from(disk.subarray(1024 + 104, 1024 + 120)).toString("hex");
}

function subdirectories(count: number): MemoryTreeSpec {
  return Array.from({ length: count }, (_, index) => ({ path: `d/${index}`, kind: "directory" as const }));
}

/** Without reading the rest of the disk. */
async function inodeOf(spec: MemoryTreeSpec, number: number): Promise<Buffer> {
  const plan = await planExt4(memoryTree(spec));
  const descriptor = Buffer.from(await collect(plan.read(4096, 64)));
  return Buffer.from(await collect(plan.read(descriptor.readUInt32LE(8) * 4096 + (number - 1) * 256, 256)));
}

async function linksOfInode(spec: MemoryTreeSpec, number: number): Promise<number> {
  return (await inodeOf(spec, number)).readUInt16LE(26);
}

const everyKind: MemoryTreeSpec = [
  { path: "", kind: "directory", mode: 0o1751, uid: 7, mtime: { seconds: -5, nanoseconds: 999_999_999 } },
  { path: "file", content: "hello", mode: 0o6755, uid: 70_000, gid: 4_294_967_294, xattrs: { "user.a": "b" } },
  { path: "again", hardlinkTo: "file" },
  { path: "link", linkTarget: "../\xff" },
  { path: "null", kind: "char", device: { major: 1, minor: 3 } },
  { path: "disk", kind: "block", device: { major: 259, minor: 70_000 } },
  { path: "largest", kind: "char", device: { major: 4095, minor: 0xfffff } },
  { path: "whiteout", kind: "char", device: { major: 0, minor: 0 } },
  { path: "fifo", kind: "fifo" },
  { path: "socket", kind: "socket" },
  { path: "deep/er/than/that", content: { size: 10_000, fill: 7 } },
];

describe("planExt4()", () => {
  it("keeps every kind of entry and every attribute", () => roundTrip(everyKind));

  it("keeps any tree", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, (spec) => roundTrip(storable(spec))),
      { numRuns: 60 },
    );
  });

  it("keeps an empty root", () => roundTrip([]));

  it("keeps a directory of many blocks", async () => {
    await roundTrip(Array.from({ length: 5000 }, (_, index) => ({ path: `d/${"n".repeat(index % 200)}${index}` })));
  });

  it("keeps a directory of more blocks than the first block of its index lists", async () => {
    const name = (index: number): string => `\xe9${"n".repeat(200)}${index}`;
    const spec = Array.from({ length: 10_000 }, (_, index) => ({ path: `d/${name(index)}`, linkTarget: "x" }));
    await roundTrip(spec);
  });

  it("gives a directory an index from the third block on", async () => {
    const flags = async (count: number): Promise<number> => {
      const spec = Array.from({ length: count }, (_, index) => ({ path: `d/${index + 100}`, linkTarget: "x" }));
      return (await inodeOf(spec, 12)).readUInt32LE(32);
    };
    expect(await flags(678)).toBe(0x80000);
    expect(await flags(679)).toBe(0x81000);
  });

  it("keeps a tree beside a journal", async () => {
    await roundTrip(everyKind, { journal: true });
    await roundTrip(everyKind, { sizeBytes: 20 * MIB });
  });

  it("has a journal where the disk is to be written to, unless told otherwise", async () => {
    const hasJournal = async (options: Ext4Options): Promise<boolean> => {
      const plan = await planExt4(memoryTree([]), options);
      return (Buffer.from(await collect(plan.read(1024, 1024))).readUInt32LE(92) & 4) !== 0;
    };
    expect(await hasJournal({})).toBe(false);
    expect(await hasJournal({ sizeBytes: 8 * MIB })).toBe(true);
    expect(await hasJournal({ freeBytes: 8 * MIB })).toBe(true);
    expect(await hasJournal({ sizeBytes: 8 * MIB - 4096 })).toBe(false);
    expect(await hasJournal({ sizeBytes: 8 * MIB - 4096, journal: true })).toBe(true);
    expect(await hasJournal({ freeBytes: 8 * MIB, journal: false })).toBe(false);
  });

  it("refuses one block less than the smallest disk has", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (spec) => {
        const tree = memoryTree(storable(spec));
        const { sizeBytes } = await planExt4(tree);
        await expect(planExt4(tree, { sizeBytes, journal: false })).resolves.toMatchObject({ sizeBytes });
        const less = planExt4(tree, { sizeBytes: sizeBytes - 4096, journal: false });
        await expect(less).rejects.toMatchObject({ code: "size_too_small" });
      }),
      { numRuns: 20 },
    );
  });

  it("refuses one block less where files are cut by groups, and fills the smallest disk but for 64 KiB", async () => {
    const content = { size: 300 * MIB, fill: 1 };
    const tree = memoryTree([
      { path: "a", content },
      { path: "b", content },
    ]);
    const plan = await planExt4(tree);
    const superblock = Buffer.from(await collect(plan.read(1024, 1024)));
    expect(superblock.readUInt32LE(12)).toBe(16);
    const less = planExt4(tree, { sizeBytes: plan.sizeBytes - 4096, journal: false });
    await expect(less).rejects.toMatchObject({ code: "size_too_small" });
  });

  it("keeps blocks back for root where told so", async () => {
    const plan = await planExt4(memoryTree([]), { sizeBytes: 100 * MIB, reservedPercent: 5 });
    expect(Buffer.from(await collect(plan.read(1024, 1024))).readUInt32LE(8)).toBe(1280);
  });

  it("names the first Linux that reads the disk, and refuses an earlier one", async () => {
    expect((await planExt4(memoryTree([]))).kernel).toBe("3.18");
    expect((await planExt4(memoryTree([]), { kernel: "6.1" })).kernel).toBe("3.18");
    await expect(planExt4(memoryTree([]), { kernel: "3.17" })).rejects.toMatchObject({ code: "unsupported" });
  });

  it.each([0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 12_288])("keeps files of %i bytes", async (size) => {
    const content = { size, fill: (at: number) => at * 3 };
    await roundTrip([{ path: "a", content }, { path: "b", content }, { path: "c" }]);
  });

  it.each([1, 59, 60, 4095])("keeps link targets of %i bytes", (length) =>
    roundTrip([{ path: "l", linkTarget: "t".repeat(length) }]),
  );

  it.each([-(2 ** 31), -1, 0, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 34 - 2 ** 31 - 1])(
    "keeps the time %i and its nanoseconds",
    (seconds) => roundTrip([{ path: "f", mtime: { seconds, nanoseconds: 999_999_999 } }]),
  );

  it("clamps times outside 1901 to 2446 and says so", async () => {
    const spec: MemoryTreeSpec = [
      { path: "early", mtime: { seconds: -(2 ** 40), nanoseconds: 5 } },
      { path: "late", mtime: { seconds: 2 ** 40, nanoseconds: 5 } },
    ];
    const plan = await planExt4(memoryTree(spec));
    expect(plan.losses).toEqual([
      { what: "times before 1901-12-13 or after 2446-05-10", count: 2, paths: ["early", "late"] },
    ]);
    const listed = readExt4(await readAll(plan));
    expect(listed.find(({ path }) => path === "early")).toMatchObject({
      mtimeSeconds: -(2 ** 31),
      mtimeNanoseconds: 0,
    });
    expect(listed.find(({ path }) => path === "late")).toMatchObject({
      mtimeSeconds: 2 ** 34 - 2 ** 31 - 1,
      mtimeNanoseconds: 0,
    });
  });

  it.each([0, 1, 4, 5, 340 * 4, 340 * 4 + 1, 3000])("keeps a sparse file of %i ranges", async (count) => {
    const extents = Array.from({ length: count }, (_, index) => ({
      offset: index * 10_000 + 13,
      length: 1 + (index % 5),
    }));
    await roundTrip([
      { path: "s", content: { size: 10_000 * count + 5000, fill: 7 }, extents },
      { path: "t", content: "x" },
    ]);
  });

  it("gives holes no blocks", async () => {
    const hole = { path: "hole", content: { size: 2 ** 40, fill: 1 } };
    const ends = [
      { offset: 0, length: 1 },
      { offset: 2 ** 40 - 1, length: 1 },
    ];
    const plan = await planExt4(memoryTree([{ ...hole, extents: ends }]));
    expect(plan.sizeBytes).toBeLessThan(MIB);
  });

  it("merges ranges that share a block", async () => {
    const extents = [
      { offset: 100, length: 10 },
      { offset: 4090, length: 10 },
      { offset: 8192, length: 1 },
      { offset: 20_000, length: 5000 },
    ];
    await roundTrip([{ path: "s", content: { size: 100_000, fill: 9 }, extents }]);
  });

  it("reads a file that is larger than a group", () =>
    roundTrip([{ path: "large", content: { size: 140 * MIB + 1, fill: 5 } }]));

  it("uses the tree's own lost+found", async () => {
    const spec: MemoryTreeSpec = [
      { path: "lost+found", kind: "directory", mode: 0o750, uid: 3 },
      { path: "lost+found/#12", content: "found" },
      { path: "a" },
    ];
    await roundTrip(spec);
  });

  it("keeps a lost+found that is no directory", () =>
    roundTrip([{ path: "lost+found", content: "a file" }, { path: "z" }]));

  it("reads file data in the order of locality, after all directories", async () => {
    const tree = handMadeTree([
      ROOT,
      { path: "a", size: 5000, locality: 3 },
      { path: "b", size: 5000, locality: 1 },
      { path: "c", kind: "directory" },
      { path: "d", size: 5000, locality: 2 },
    ]);
    const plan = await planExt4(tree);
    expect(plan.segments.flatMap((segment) => ("entry" in segment ? [segment.entry.path] : []))).toEqual([
      "b",
      "d",
      "a",
    ]);
  });

  it("lists segments that are ascending, disjoint and as long as their bytes", async () => {
    const plan = await planExt4(memoryTree(everyKind), { sizeBytes: 600 * MIB });
    let end = 0;
    for (const segment of plan.segments) {
      expect(segment.offset).toBeGreaterThanOrEqual(end);
      end = segment.offset + segment.length;
      if ("bytes" in segment) expect(segment.bytes().length).toBe(segment.length);
    }
    expect(end).toBeLessThanOrEqual(plan.sizeBytes);
  });

  it("gives for any range the bytes of the whole", async () => {
    const plan = await planExt4(memoryTree(everyKind));
    const whole = await readAll(plan);
    const offset = fc.nat(plan.sizeBytes);
    await fc.assert(
      fc.asyncProperty(offset, offset, async (one, other) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        expect(Buffer.compare(await collect(plan.read(from, to - from)), whole.subarray(from, to))).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it("gives the same bytes for the same tree", async () => {
    const options = { freeBytes: MIB };
    expect(Buffer.compare(await makeDisk(everyKind, options), await makeDisk(everyKind, options))).toBe(0);
  });

  it("gives another UUID for another tree", async () => {
    expect(uuidOf(await makeDisk([]))).not.toBe(uuidOf(await makeDisk([{ path: "a" }])));
  });

  it("writes the UUID, the label and the time that it is given", async () => {
    const uuid = "00112233-4455-6677-8899-aabbccddeeff";
    const disk = Buffer.from(await makeDisk([], { uuid, label: "wörld", epochSeconds: 1_700_000_000 }));
    expect(uuidOf(disk)).toBe(uuid.replaceAll("-", ""));
    expect(disk.toString("utf8", 1024 + 120, 1024 + 126)).toBe("wörld");
    expect(disk.readUInt32LE(1024 + 264)).toBe(1_700_000_000);
    expect(readExt4(disk).find(({ path }) => path === "lost+found")?.mtimeSeconds).toBe(1_700_000_000);
  });

  it("counts a directory of 65,000 links, and one more no longer", async () => {
    expect(await linksOfInode(subdirectories(64_998), 12)).toBe(65_000);
    expect(await linksOfInode(subdirectories(64_999), 12)).toBe(1);
  });

  const link = { path: "l", kind: "symlink" as const };
  it.each([
    ["a name of 256 bytes", [ROOT, { path: "n".repeat(256) }], "name has 256 bytes, the limit is 255"],
    ["an empty link target", [ROOT, { ...link, linkTarget: "" }], "target has 0 bytes"],
    ["a link target of 4,096 bytes", [ROOT, { ...link, linkTarget: "t".repeat(4096) }], "target has 4096 bytes"],
    ["a link target with a NUL", [ROOT, { ...link, linkTarget: "a\0b" }], "target has a NUL"],
    ["a device major of 4,096", [ROOT, { path: "c", kind: "char" as const, deviceMajor: 4096 }], "device is 4096:0"],
    ["a file of 16 TiB", [ROOT, { path: "f", size: 2 ** 44, extents: [] }], "the limit is 17592186040320"],
    [
      "65,001 names",
      [ROOT, ...Array.from({ length: 65_001 }, (_, index) => ({ path: `${100_000 + index}`, inode: 1 }))],
      "65001 names, the limit is 65000",
    ],
  ])("refuses %s", async (_, entries, message) => {
    await expect(planExt4(handMadeTree(entries))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ["no root", []],
    ["an entry before its parent", [ROOT, { path: "a/b" }]],
    ["siblings out of order", [ROOT, { path: "b" }, { path: "a" }]],
  ])("refuses a tree with %s", async (_, entries) => {
    await expect(planExt4(handMadeTree(entries))).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it.each<[string, Ext4Options]>([
    ["a size and a free size", { sizeBytes: MIB, freeBytes: MIB }],
    ["a negative size", { sizeBytes: -1 }],
    ["a size over 16 TiB", { sizeBytes: 2 ** 44 + 4096 }],
    ["half a byte free", { freeBytes: 0.5 }],
    ["a label of 17 bytes", { label: "l".repeat(17) }],
    ["half a UUID", { uuid: "00112233" }],
    ["a time before 1970", { epochSeconds: -1 }],
    ["a time after 2106", { epochSeconds: 2 ** 32 }],
  ])("refuses %s", async (_, options) => {
    await expect(planExt4(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });

  it("rejects with the signal's reason, before work and during it", async () => {
    const reason = new Error("enough");
    await expect(planExt4(memoryTree([]), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);

    const controller = new AbortController();
    const tree = handMadeTree([ROOT, { path: "a" }, { path: "b" }]);
    const aborting = {
      ...tree,
      async *entries() {
        for await (const entry of tree.entries()) {
          if (entry.path === "a") controller.abort(reason);
          yield entry;
        }
      },
    };
    await expect(planExt4(aborting, { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("readExt4(), which these tests trust", () => {
  it("throws for a flipped bit in any block of metadata of a small disk", async () => {
    const xattrs = { "user.a": "v".repeat(200), "user.large": "v".repeat(5000) };
    const links = Array.from({ length: 1000 }, (_, index) => ({ path: `d/${index}`, linkTarget: "x" }));
    const plan = await planExt4(memoryTree([{ path: "f", xattrs }, ...links]), { journal: true });
    const disk = await readAll(plan);
    const blocks = plan.segments.flatMap(({ offset, length }) =>
      Array.from({ length: Math.ceil(length / 4096) }, (_, index) => ({
        from: offset + index * 4096,
        to: Math.min(offset + length, offset + (index + 1) * 4096),
      })),
    );
    expect(blocks.length).toBeGreaterThan(20);
    for (const { from, to } of blocks) {
      const used = disk.subarray(from, to).findIndex((byte) => byte !== 0);
      if (used === -1) continue;
      disk[from + used]! ^= 0x10;
      expect(() => readExt4(disk), `a bit at ${from + used}`).toThrow("the disk breaks");
      disk[from + used]! ^= 0x10;
    }
    expect(() => readExt4(disk)).not.toThrow();
  });
});
