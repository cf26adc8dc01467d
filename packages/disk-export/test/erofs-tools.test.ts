import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
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
