import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryEntry } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { planExt4 } from "../src/ext4/plan.js";
import { collect } from "./bytes.js";
import { readExt4 } from "./ext4-reader.js";

type Xattrs = NonNullable<MemoryEntry["xattrs"]>;

function planWith(xattrs: Xattrs): Promise<DiskPlan> {
  return planExt4(memoryTree([{ path: "f", xattrs }]));
}

async function readBack(xattrs: Xattrs): Promise<Record<string, string>> {
  const plan = await planWith(xattrs);
  const listed = readExt4(await collect(plan.read(0, plan.sizeBytes))).find(({ path }) => path === "f");
  const text = Object.entries(listed?.xattrs ?? {}).map(([name, hex]) => [
    name,
    Buffer.from(hex, "hex").toString("latin1"),
  ]);
  return Object.fromEntries(text) as Record<string, string>;
}

/** The file's block of xattrs, or nothing where it has none. */
async function xattrBlock(xattrs: Xattrs): Promise<Buffer | undefined> {
  const plan = await planWith(xattrs);
  const disk = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
  const inode = disk.readUInt32LE(4096 + 8) * 4096 + 11 * 256;
  const block = disk.readUInt32LE(inode + 104);
  return block === 0 ? undefined : disk.subarray(block * 4096, (block + 1) * 4096);
}

function acl(entries: readonly (readonly [tag: number, permissions: number, id: number])[]): Uint8Array {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}

const NO_ID = 0xffffffff;
const someAcl = acl([
  [0x01, 6, NO_ID],
  [0x02, 4, 1000],
  [0x04, 4, NO_ID],
  [0x08, 5, 70_000],
  [0x10, 7, NO_ID],
  [0x20, 4, NO_ID],
]);

describe("xattrs on ext4", () => {
  it("stay in the inode while they fit", async () => {
    const fits = { "user.88": "v".repeat(68) };
    expect(await xattrBlock(fits)).toBeUndefined();
    expect(await readBack(fits)).toEqual(fits);
    expect(await xattrBlock({ "user.88": "v".repeat(69) })).toBeDefined();
  });

  it("are split between the inode and a block", async () => {
    const xattrs = { "security.capability": "c".repeat(20), "user.empty": "", "user.large": "l".repeat(3900) };
    expect(await readBack(xattrs)).toEqual(xattrs);
  });

  it("are sorted in the block by namespace, length and bytes", async () => {
    const value = "v".repeat(100);
    const names = ["user.bb", "user.a", "user.b\xff", "user.b\x01", "trusted.a", "security.z"];
    const block = (await xattrBlock(Object.fromEntries(names.map((name) => [name, value]))))!;
    const found: string[] = [];
    for (let at = 32; block.readUInt32LE(at) !== 0; at += 16 + Math.ceil(block.readUInt8(at) / 4) * 4) {
      found.push(`${block.readUInt8(at + 1)} ${block.toString("latin1", at + 16, at + 16 + block.readUInt8(at))}`);
    }
    expect(found).toEqual(["1 a", "1 b\x01", "1 bb", "1 b\xff", "4 a", "6 z"]);
  });

  it("have the hashes that Linux gives them, names as unsigned characters", async () => {
    const block = (await xattrBlock({ "user.\xc3\xa9": "value".padEnd(97, "v") }))!;
    expect(block.readUInt32LE(32 + 12)).toBe(0x1bc01776);
    expect(block.readUInt32LE(12)).toBe(0x1bc01776);
  });

  it("keep ACLs, which have another form on the disk", async () => {
    const text = Buffer.from(someAcl).toString("latin1");
    const xattrs = { "system.posix_acl_access": someAcl, "system.posix_acl_default": someAcl };
    expect(await readBack(xattrs)).toEqual({ "system.posix_acl_access": text, "system.posix_acl_default": text });
    const plan = await planWith({ "system.posix_acl_access": someAcl });
    expect(plan.losses).toEqual([]);
  });

  it.each([
    ["empty", new Uint8Array(0)],
    ["without entries", acl([])],
    ["of another version", Uint8Array.from(someAcl, (byte, index) => (index === 0 ? 3 : byte))],
    ["cut short", someAcl.subarray(0, someAcl.length - 1)],
    ["with an unknown tag", acl([[0x40, 7, NO_ID]])],
  ])("note an ACL %s as a loss", async (_, value) => {
    const plan = await planWith({ "system.posix_acl_access": value });
    expect(plan.losses).toEqual([{ what: "malformed POSIX ACLs", count: 1, paths: ["f"] }]);
  });

  it.each(["foo.bar", "system.other", "user.", "user"])(
    "note %s, which Linux would refuse, as a loss",
    async (name) => {
      const plan = await planWith({ [name]: "v", "user.kept": "v" });
      expect(plan.losses).toEqual([
        { what: "xattrs outside user, trusted, security and POSIX ACLs", count: 1, paths: ["f"] },
      ]);
      expect(await readBack({ [name]: "v", "user.kept": "v" })).toEqual({ "user.kept": "v" });
    },
  );

  it("fill the block to its last byte", async () => {
    const value = "v".repeat(4060 - 16 - 4);
    expect(await readBack({ "user.full": value })).toEqual({ "user.full": value });
    expect((await planWith({ "user.full": value })).kernel).toBe("3.18");
  });

  it.each([4041, 4096, 4097, 65_536])(
    "get an inode for a value of %i bytes, which no block has room for",
    async (length) => {
      const value = "v".repeat(length);
      expect(await readBack({ "user.full": value, "user.small": "s" })).toEqual({
        "user.full": value,
        "user.small": "s",
      });
      expect((await planWith({ "user.full": value })).kernel).toBe("4.13");
    },
  );

  it("get inodes for the largest values only, where all of them together are too large", async () => {
    const values = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`user.${index}`, "v".repeat(index * 4)]),
    );
    expect(await readBack(values)).toEqual(values);
    const block = await xattrBlock(values);
    expect(block!.readUInt32LE(32 + 4)).toBe(0);
  });

  it("share the inode of equal values", async () => {
    const value = "v".repeat(60_000);
    const one = await planExt4(memoryTree([{ path: "a", xattrs: { "user.x": value } }, { path: "b" }]));
    const spec = ["a", "b"].map((path) => ({ path, xattrs: { "user.x": value, "user.y": value } }));
    const four = await planExt4(memoryTree(spec));
    expect(four.sizeBytes - one.sizeBytes).toBeLessThan(3 * 4096);
    const listed = readExt4(await collect(four.read(0, four.sizeBytes))).filter(({ xattrs }) => "user.y" in xattrs);
    expect(listed.map(({ path }) => path)).toEqual(["a", "b"]);
  });

  it("are refused where the kernel asked for has no inodes for them", async () => {
    const tree = memoryTree([{ path: "f", xattrs: { "user.x": "v".repeat(5000) } }]);
    await expect(planExt4(tree, { kernel: "4.12" })).rejects.toMatchObject({
      code: "unsupported",
      message: "cannot make a disk for Linux 4.12: it uses inodes for values of xattrs (ea_inode), which needs 4.13",
    });
    expect((await planExt4(tree, { kernel: "4.13" })).kernel).toBe("4.13");
  });

  it("are refused with a value over 64 KiB, by name and size", async () => {
    await expect(planWith({ "user.large": "v".repeat(65_537) })).rejects.toMatchObject({
      code: "unsupported",
      message: "cannot hold /f in ext4: an xattr's value has 65537 bytes, the limit is 65536",
    });
  });

  it("are refused where their names alone have no room", async () => {
    const names = Array.from({ length: 20 }, (_, index) => [`user.${"n".repeat(240)}${index}`, "value"]);
    await expect(planWith(Object.fromEntries(names) as Xattrs)).rejects.toMatchObject({ code: "unsupported" });
  });

  it("are refused with a name over 255 bytes", async () => {
    await expect(planWith({ [`user.${"n".repeat(256)}`]: "" })).rejects.toMatchObject({
      code: "unsupported",
      message: "cannot hold /f in ext4: an xattr's name has 256 bytes, the limit is 255",
    });
  });
});
