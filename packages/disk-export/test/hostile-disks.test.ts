import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { FileTree } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { planErofs } from "../src/erofs/plan.js";
import { openErofs } from "../src/erofs/reading/reader.js";
import { DiskExportError } from "../src/errors.js";
import { planExt4 } from "../src/ext4/plan.js";
import { openExt4 } from "../src/ext4/reading/reader.js";
import type { DiskSource } from "../src/reading/source.js";
import { collect } from "./bytes.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const spec: MemoryTreeSpec = [
  { path: "file", content: "hello", xattrs: { "user.a": "x".repeat(300), "security.capability": new Uint8Array(20) } },
  { path: "other", content: "there", xattrs: { "user.a": "x".repeat(300) } },
  { path: "again", hardlinkTo: "file" },
  { path: "d/link", linkTarget: "t".repeat(100) },
  { path: "d/null", kind: "char", device: { major: 1, minor: 3 } },
  {
    path: "large",
    content: { size: 200_000, fill: (at: number) => (at % 9000 < 5000 ? at % 7 : Math.imul(at, 0x9e3779b1) >>> 24) },
  },
  {
    path: "sparse",
    content: { size: 100_000, fill: 5 },
    extents: Array.from({ length: 6 }, (_, index) => ({ offset: index * 16_384, length: 4096 })),
  },
];

/** A source that fails the test where it is asked for bytes that it has not. */
function sourceOf(bytes: Uint8Array): DiskSource {
  return {
    sizeBytes: bytes.length,
    async *read(offset, length) {
      const isInside = offset >= 0 && length >= 0 && offset + length <= bytes.length;
      if (!isInside) throw new Error(`asked for ${length} bytes at ${offset} of ${bytes.length}`);
      yield bytes.subarray(offset, offset + length);
    },
  };
}

/** Whatever is on a disk, within these: what an image of so few entries may give. */
async function readAll(tree: FileTree): Promise<void> {
  await using open = tree;
  for await (const entry of open.entries()) {
    if (entry.kind !== "file") continue;
    const length = Math.min(entry.size, 400_000);
    expect((await collect(open.read(entry, { length }))).length).toBe(length);
  }
}

async function outcome(open: typeof openExt4, bytes: Uint8Array): Promise<string> {
  try {
    await readAll(await open(sourceOf(bytes)));
    return "read";
  } catch (error) {
    if (error instanceof DiskExportError && (error.code === "disk_invalid" || error.code === "unsupported"))
      return error.code;
    throw error;
  }
}

/** The same numbers on every run. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

async function ext4WithoutChecksums(): Promise<Uint8Array> {
  const path = join(await temporaryDirectory(), "disk");
  await writeFile(path, await diskOf("ext4"));
  runTool("tune2fs", ["-O", "^metadata_csum", path]);
  return readFile(path);
}

async function diskOf(format: "ext4" | "erofs" | "lz4" | "deflate"): Promise<Uint8Array> {
  const tree = memoryTree(spec);
  const options = format === "ext4" || format === "erofs" ? {} : { compression: format, threads: 1 };
  await using plan = format === "ext4" ? await planExt4(tree) : await planErofs(tree, options);
  return await collect(plan.read(0, plan.sizeBytes));
}

const disks: [string, typeof openExt4, () => Promise<Uint8Array>][] = [
  ["ext4", openExt4, () => diskOf("ext4")],
  ["EROFS", openErofs, () => diskOf("erofs")],
  ["LZ4 EROFS", openErofs, () => diskOf("lz4")],
  ["deflate EROFS", openErofs, () => diskOf("deflate")],
  ...(hasTool("tune2fs")
    ? [
        ["ext4 without checksums", openExt4, ext4WithoutChecksums] as [
          string,
          typeof openExt4,
          () => Promise<Uint8Array>,
        ],
      ]
    : []),
];

describe.each(disks)("a damaged disk of %s", (_, open, make) => {
  it("is read or refused with a typed error, whichever bytes are changed", async () => {
    const whole = await make();
    expect(await outcome(open, whole)).toBe("read");
    const used = [...whole.keys()].filter((at) => whole[at] !== 0);
    const random = createRandom(42);
    const seen = new Set<string>();
    for (let round = 0; round < 1200; round++) {
      const damaged = Uint8Array.from(whole);
      const changes = 1 + random(4);
      for (let change = 0; change < changes; change++) {
        const at =
          random(3) === 0
            ? Math.min(used[random(used.length)]! + random(8), whole.length - 1)
            : used[random(used.length)]!;
        // The superblock's checksum would find nearly all of them: what is behind it is of interest here.
        if (at >= 1024 && at < 2048 && random(10) > 0) continue;
        damaged[at] = random(2) === 0 ? damaged[at]! ^ (1 << random(8)) : [0, 1, 0x7f, 0x80, 0xff][random(5)]!;
      }
      seen.add(await outcome(open, damaged));
    }
    expect(seen).toContain("disk_invalid");
  }, 60_000);

  it("is refused wherever it is cut off", async () => {
    const whole = await make();
    for (const length of [0, 1024, 1500, 4096, 5000, Math.floor(whole.length / 2), whole.length - 4096])
      expect(["disk_invalid", "unsupported"]).toContain(await outcome(open, whole.subarray(0, length)));
  });
});

describe("a disk that lies", () => {
  /** Of an EROFS disk: where the directory `name` of the root has its entry's nid. */
  async function erofs(): Promise<{ bytes: Uint8Array; view: DataView; direntOf: (name: string) => number }> {
    const bytes = await diskOf("erofs");
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const inode = view.getUint16(1024 + 14, true) * 32;
    const start = inode + 64;
    const count = view.getUint16(start + 8, true) / 12;
    function direntOf(name: string): number {
      for (let index = 0; index < count; index++) {
        const from = start + view.getUint16(start + index * 12 + 8, true);
        if (Buffer.from(bytes.subarray(from, from + name.length)).toString() === name) return start + index * 12;
      }
      throw new Error(`no ${name}`);
    }
    return { bytes, view, direntOf };
  }

  it("is refused with a directory in itself", async () => {
    const { bytes, view, direntOf } = await erofs();
    view.setBigUint64(direntOf("d"), BigInt(view.getUint16(1024 + 14, true)), true);
    await expect(openErofs(sourceOf(bytes))).rejects.toThrow(/directory that has another name already/);
  });

  it.each(["la/ge", "la\0ge", "other"])("is refused with what is no name, or one name twice: %j", async (name) => {
    const { bytes, view, direntOf } = await erofs();
    const dirent = direntOf("large");
    const root = view.getUint16(1024 + 14, true) * 32 + 64;
    bytes.set(Buffer.from(name), root + view.getUint16(dirent + 8, true));
    await expect(openErofs(sourceOf(bytes))).rejects.toMatchObject({ code: "disk_invalid" });
  });

  it("is refused where many names lead to the same large metadata", async () => {
    // A directory's block of which every inode is another directory, that has the same block.
    const blockBytes = 4096;
    const count = 100;
    const bytes = new Uint8Array(64 * blockBytes);
    const view = new DataView(bytes.buffer);
    view.setUint32(1024, 0xe0f5e1e2, true);
    view.setUint8(1036, 12);
    view.setUint16(1038, 128, true);
    for (let index = 0; index <= count * 40; index++) {
      const at = blockBytes + index * 32;
      view.setUint16(at, 0, true);
      view.setUint16(at + 4, 0o040755, true);
      view.setUint16(at + 6, 2, true);
      view.setUint32(at + 8, 16 * blockBytes, true);
      view.setUint32(at + 16, 40, true);
    }
    for (let block = 40; block < 56; block++) {
      for (let index = 0; index < count; index++) {
        const at = block * blockBytes + index * 12;
        view.setBigUint64(at, BigInt(129 + (block - 40) * count + index), true);
        view.setUint16(at + 8, count * 12 + index * 4, true);
        Buffer.from(`${String.fromCharCode(97 + block - 40)}${String(index).padStart(3, "0")}`).copy(
          bytes,
          block * blockBytes + count * 12 + index * 4,
        );
      }
    }
    await expect(openErofs(sourceOf(bytes))).rejects.toMatchObject({ code: "disk_invalid" });
  });
});

describe.skipIf(!hasTool("debugfs"))("ext4's checksums [skipped without e2fsprogs]", () => {
  it.each([
    ["of a group", 4096 + 8],
    ["of the superblock", 1024 + 0x78],
  ])("%s are verified", async (_, at) => {
    const bytes = await diskOf("ext4");
    bytes[at] = bytes[at]! ^ 1;
    await expect(openExt4(sourceOf(bytes))).rejects.toThrow(/checksum is wrong/);
  });

  it("of inodes, directories and xattrs are verified", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const whole = await diskOf("ext4");
    await writeFile(path, whole);
    const ask = (command: string): string => runTool("debugfs", ["-R", command, path]).output;
    const directory = Number(/^\d+/m.exec(ask("blocks /d"))?.[0]) * 4096;
    const xattrs = Number(/File ACL: (\d+)/.exec(ask("stat /file"))?.[1]) * 4096;
    const inode = Number(/located at block (\d+), offset/.exec(ask("imap /file"))?.[1]) * 4096;
    const offset = Number.parseInt(/offset 0x([0-9a-f]+)/.exec(ask("imap /file"))?.[1] ?? "", 16);
    for (const at of [directory + 40, xattrs + 40, inode + offset + 8]) {
      expect(at).toBeGreaterThan(4096);
      const damaged = Uint8Array.from(whole);
      damaged[at] = damaged[at]! ^ 1;
      await expect(openExt4(sourceOf(damaged))).rejects.toThrow(/checksum/);
    }
  });
});
