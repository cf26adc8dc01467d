import type { Entry } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { planErofs } from "../src/erofs/plan.js";
import type { ErofsOptions } from "../src/erofs/plan.js";
import { collect } from "./bytes.js";
import { readErofs } from "./erofs-reader.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";

async function makeDisk(spec: MemoryTreeSpec, options?: ErofsOptions): Promise<Uint8Array> {
  const plan = await planErofs(memoryTree(spec), options);
  return collect(plan.read(0, plan.sizeBytes));
}

async function uuidOf(spec: MemoryTreeSpec): Promise<string> {
  return Buffer.from((await makeDisk(spec)).subarray(1072, 1088)).toString("hex");
}

function hex(digits: string): Uint8Array {
  return Buffer.from(digits, "hex");
}

async function roundTrip(spec: MemoryTreeSpec): Promise<void> {
  expect(readErofs(await makeDisk(spec))).toEqual(await listTree(memoryTree(spec)));
}

const everyKind: MemoryTreeSpec = [
  { path: "", kind: "directory", mode: 0o1751, uid: 7, mtime: { seconds: -5, nanoseconds: 999_999_999 } },
  {
    path: "file",
    content: "hello",
    mode: 0o6755,
    xattrs: { "security.capability": new Uint8Array([1, 0, 2]), "user.a": "b" },
  },
  { path: "again", hardlinkTo: "file" },
  { path: "link", linkTarget: "../\xff" },
  { path: "null", kind: "char", device: { major: 1, minor: 3 } },
  { path: "disk", kind: "block", device: { major: 259, minor: 70_000 } },
  { path: "whiteout", kind: "char", device: { major: 0, minor: 0 } },
  { path: "fifo", kind: "fifo" },
  { path: "socket", kind: "socket" },
  { path: "deep/er/than/that", content: { size: 10_000, fill: 7 } },
];

describe("planErofs()", () => {
  it("keeps every kind of entry and every attribute", () => roundTrip(everyKind));

  it("keeps any tree", async () => {
    await fc.assert(fc.asyncProperty(treeSpecs, roundTrip), { numRuns: 60 });
  });

  it("keeps an empty root", () => roundTrip([]));

  it("keeps a directory of many blocks", async () => {
    await roundTrip(Array.from({ length: 5000 }, (_, index) => ({ path: `d/${"n".repeat(index % 200)}${index}` })));
  });

  it("sorts `.` and `..` among the names", () =>
    roundTrip(["!", "-", ".!", "..", "...", ".a", "0"].filter((name) => name !== "..").map((path) => ({ path }))));

  it.each([0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8128, 8192])(
    "keeps files of %i bytes whole, wherever they fall",
    async (size) => {
      await roundTrip(
        Array.from({ length: 7 }, (_, index) => ({
          path: `f${index}`,
          content: { size, fill: (at: number) => at + index },
        })),
      );
    },
  );

  it.each([1, 4031, 4032, 4033, 4095])("keeps link targets of %i bytes", async (length) => {
    await roundTrip(Array.from({ length: 3 }, (_, index) => ({ path: `l${index}`, linkTarget: "t".repeat(length) })));
  });

  it("keeps xattrs larger than a block, and the data after them", async () => {
    const xattrs = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`user.${index}`, new Uint8Array(20_000).fill(index)]),
    );
    await roundTrip([
      { path: "a", content: { size: 5000, fill: 1 }, xattrs },
      { path: "b", linkTarget: "a", xattrs },
      { path: "c/d", content: "x" },
      { path: "c", kind: "directory", xattrs },
    ]);
  });

  it("keeps an xattr once that many inodes have", async () => {
    const label = `system_u:object_r:${"x".repeat(100)}:s0`;
    const spec = Array.from({ length: 1000 }, (_, index) => ({
      path: `d${index % 9}/f${index}`,
      xattrs: { "security.selinux": label, "user.own": String(index), ...(index % 7 === 0 ? { "user.a": "b" } : {}) },
    }));
    await roundTrip(spec);
    const disk = Buffer.from(await makeDisk(spec));
    expect(disk.indexOf(label)).toBe(disk.lastIndexOf(label));
    expect(disk.indexOf(label)).toBeGreaterThan(0);
  });

  it("keeps more xattrs of an inode than it can share", async () => {
    const xattrs = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`user.n${index}`, `v${index}`]));
    await roundTrip([
      { path: "a", xattrs },
      { path: "b", xattrs },
    ]);
  });

  it("gives the same bytes for the same tree", async () => {
    expect(Buffer.compare(await makeDisk(everyKind), await makeDisk(everyKind))).toBe(0);
  });

  it("gives another UUID for another tree", async () => {
    const [uuid, other] = await Promise.all([everyKind, [...everyKind, { path: "one more" }]].map(uuidOf));
    expect(uuid).not.toBe(other);
  });

  it("writes the UUID, the label and the time that it is given", async () => {
    const disk = Buffer.from(
      await makeDisk([], {
        uuid: "00112233-4455-6677-8899-aAbBcCdDeEfF",
        label: "räksmörgås",
        epochSeconds: 1_700_000_000,
      }),
    );
    expect(disk.toString("hex", 1072, 1088)).toBe("00112233445566778899aabbccddeeff");
    expect(disk.toString("utf8", 1088, 1104).replace(/\0+$/, "")).toBe("räksmörgås");
    expect(disk.readBigUInt64LE(1024 + 24)).toBe(1_700_000_000n);
  });

  it.each<[string, ErofsOptions]>([
    ["a UUID that is none", { uuid: "00112233" }],
    ["a label over 16 bytes", { label: "ååååååååå" }],
    ["a negative time", { epochSeconds: -1 }],
    ["a time with a fraction", { epochSeconds: 0.5 }],
  ])("refuses %s", async (_what, options) => {
    await expect(planErofs(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });

  it.each<[string, MemoryTreeSpec[number]]>([
    ["a device's minor over 20 bits", { path: "x", kind: "char", device: { major: 1, minor: 0x100000 } }],
    ["a device's major over 12 bits", { path: "x", kind: "block", device: { major: 0x1000, minor: 1 } }],
    ["an xattr's value of 64 KiB", { path: "x", xattrs: { "user.a": new Uint8Array(65_536) } }],
    ["an xattr's name of 256 bytes", { path: "x", xattrs: { [`user.${"n".repeat(256)}`]: "" } }],
    ["files that need more than 2^32 blocks", { path: "x", content: { size: 2 ** 45 } }],
  ])("refuses %s", async (_what, entry) => {
    await expect(planErofs(memoryTree([entry]))).rejects.toMatchObject({ code: "unsupported" });
  });

  it.each<[string, Partial<Entry>]>([
    ["an empty link target", { path: "x", kind: "symlink" }],
    ["a link target of 4096 bytes", { path: "x", kind: "symlink", linkTarget: "t".repeat(4096) }],
    ["a name of 256 bytes", { path: "n".repeat(256) }],
  ])("refuses %s", async (_what, entry) => {
    await expect(planErofs(handMadeTree([ROOT, entry]))).rejects.toMatchObject({ code: "unsupported" });
  });

  it.each<[string, Partial<Entry>[]]>([
    ["has no root", []],
    ["does not begin with its root", [{ path: "a" }]],
    ["has two roots", [ROOT, ROOT]],
    ["gives a child before its parent", [ROOT, { path: "a/b" }]],
    ["gives a file a child", [ROOT, { path: "a" }, { path: "a/b" }]],
    [
      "comes back to a directory that it left",
      [ROOT, { path: "a", kind: "directory" }, { path: "b" }, { path: "a/c" }],
    ],
    ["gives siblings out of order", [ROOT, { path: "b" }, { path: "a" }]],
    ["gives a name twice", [ROOT, { path: "a" }, { path: "a" }]],
    ["has a path of characters that are no bytes", [ROOT, { path: "\u0142" }]],
  ])("refuses a tree that %s", async (_what, entries) => {
    await expect(planErofs(handMadeTree(entries))).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it("notes the xattrs that the format has no number for, and keeps the others", async () => {
    const plan = await planErofs(memoryTree([{ path: "x", xattrs: { "btrfs.a": "1", "user.b": "2" } }]));
    expect(plan.losses).toEqual([
      { what: "xattrs outside user, trusted, security and POSIX ACLs", count: 1, paths: ["x"] },
    ]);
    const [, listed] = readErofs(await collect(plan.read(0, plan.sizeBytes)));
    expect(listed?.xattrs).toEqual({ "user.b": "32" });
  });

  it("leaves out what says it is an ACL and is none: the kernel could not open the file", async () => {
    const plan = await planErofs(
      memoryTree([
        { path: "entries", xattrs: { "system.posix_acl_access": hex("0200000001000700ffffffff") } },
        { path: "id", xattrs: { "system.posix_acl_access": hex("0200000002000700ffffffff") } },
        { path: "length", xattrs: { "system.posix_acl_default": hex("0200000001000700ffff") } },
        { path: "tag", xattrs: { "system.posix_acl_access": hex("0200000003000700ffffffff"), "user.a": "b" } },
        { path: "version", xattrs: { "system.posix_acl_access": hex("0100000001000700ffffffff") } },
      ]),
    );
    expect(plan.losses).toEqual([
      { what: "malformed POSIX ACLs", count: 4, paths: ["id", "length", "tag", "version"] },
    ]);
    const kept = readErofs(await collect(plan.read(0, plan.sizeBytes))).flatMap(({ xattrs }) => Object.keys(xattrs));
    expect(kept).toEqual(["system.posix_acl_access", "user.a"]);
  });

  it("leaves the holes of a sparse file to the disk", async () => {
    const extents = [{ offset: 2 ** 40, length: 3 }];
    const plan = await planErofs(memoryTree([{ path: "sparse", content: { size: 2 ** 40 + 3, fill: 9 }, extents }]));
    expect(plan.sizeBytes).toBeGreaterThan(2 ** 40);
    expect(plan.segments.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(10_000);
  });

  it("reads file data in the order that is sequential at the source", async () => {
    const tree = memoryTree(["z", "m", "a"].map((path) => ({ path, content: { size: 9000, fill: 1 } })));
    const { segments } = await planErofs(tree);
    const bodies = segments.filter((segment) => "entry" in segment && segment.entryOffset === 0);
    expect(bodies.map((segment) => "entry" in segment && segment.entry.path)).toEqual(["z", "m", "a"]);
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(planErofs(memoryTree([]), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
