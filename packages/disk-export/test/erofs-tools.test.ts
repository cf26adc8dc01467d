import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
import { collect } from "./bytes.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

/** Version 1.5 exits with 0 after a wrong checksum, and is silent by default: only this line tells. */
const CLEAN = "No errors found";

function check(path: string): string {
  return runTool("fsck.erofs", ["-d3", path]).output;
}

describe.skipIf(!hasTool("fsck.erofs"))("fsck.erofs [skipped without erofs-utils]", () => {
  it("finds any tree's disk clean", async () => {
    const path = join(await temporaryDirectory(), "disk");
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (spec) => {
        await writeDisk(await planErofs(memoryTree(spec)), path);
        expect(check(path)).toContain(CLEAN);
      }),
      { numRuns: 25 },
    );
  });

  it("finds any tree's compressed disk clean", async () => {
    const path = join(await temporaryDirectory(), "disk");
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (spec) => {
        await using plan = await planErofs(memoryTree(spec), { compression: "lz4", threads: 1 });
        await writeDisk(plan, path);
        expect(check(path)).toContain(CLEAN);
      }),
      { numRuns: 15 },
    );
  });

  it("extracts compressed files as they were", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "disk");
    const sizes = [4097, 8193, 70_000, 300_001, (1 << 20) + 5000];
    const line = "what a file of text may say, again and again; ";
    // Each begins with as much noise as it is long: text and noise meet at many places.
    const spec: MemoryTreeSpec = sizes.map((size) => ({
      path: `f${size}`,
      content: {
        size,
        fill: (at: number) =>
          at % 50_000 < size % 30_000 ? (Math.imul(at, 0x9e3779b1) >>> 11) & 0xff : line.charCodeAt(at % 46),
      },
    }));
    await using plan = await planErofs(memoryTree(spec), { compression: "lz4" });
    await writeDisk(plan, path);
    const { status, output } = runTool("fsck.erofs", ["--no-preserve", `--extract=${join(directory, "out")}`, path]);
    expect({ status, output }).toMatchObject({ status: 0 });
    const tree = memoryTree(spec);
    for await (const entry of tree.entries()) {
      if (entry.kind !== "file") continue;
      const read = await readFile(join(directory, "out", entry.path));
      expect(Buffer.compare(read, await collect(tree.read(entry)))).toBe(0);
    }
  });

  it("finds damage to compressed data", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const spec: MemoryTreeSpec = [{ path: "a", content: { size: 100_000, fill: (at: number) => (at >>> 4) & 0xff } }];
    await using plan = await planErofs(memoryTree(spec), { compression: "lz4" });
    await writeDisk(plan, path);
    const disk = await readFile(path);
    // The last bytes of the last extent: literals that a decoder takes as they are, and the token before them, which it does not.
    disk.fill(0xff, disk.length - 40);
    await writeFile(path, disk);
    const { status } = runTool("fsck.erofs", ["--extract", path]);
    expect(status).not.toBe(0);
  });

  it("finds damage to the superblock and to an inode", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const spec: MemoryTreeSpec = [{ path: "a", content: "x" }];
    await writeDisk(await planErofs(memoryTree(spec)), path);
    const disk = await readFile(path);
    // The label, then the layout of the root's data.
    for (const at of [1024 + 64, 4096]) {
      const damaged = Buffer.from(disk);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0xc, at);
      await writeFile(path, damaged);
      expect(check(path)).not.toContain(CLEAN);
    }
  });

  it("extracts files as they were", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "disk");
    const spec: MemoryTreeSpec = [0, 1, 4000, 4032, 4096, 9000].map((size) => ({
      path: `d/f${size}`,
      content: { size, fill: size & 0xff },
    }));
    await writeDisk(await planErofs(memoryTree(spec)), path);
    const { status, output } = runTool("fsck.erofs", ["--no-preserve", `--extract=${join(directory, "out")}`, path]);
    expect({ status, output }).toMatchObject({ status: 0 });
    for (const size of [0, 1, 4000, 4032, 4096, 9000]) {
      const read = await readFile(join(directory, "out", "d", `f${size}`));
      expect(Buffer.compare(read, new Uint8Array(size).fill(size & 0xff))).toBe(0);
    }
  });
});
