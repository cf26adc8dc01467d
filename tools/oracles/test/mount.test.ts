import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareTrees, describeDifferences, lostAndFound } from "../src/compare-trees.js";
import type { Difference } from "../src/compare-trees.js";
import { mountImage } from "../src/mount.js";
import { missing } from "../src/requirements.js";
import { makeSampleTree, sh } from "./sample-tree.js";
import { withScratch } from "./scratch.js";

const lacking = missing(["root", "mount", "python3", "mkfs.ext4", "mkfs.erofs", "setfattr"]);

const makers = {
  ext4: "truncate -s 16M image; mkfs.ext4 -q -d tree image",
  erofs: "mkfs.erofs --quiet image tree",
};

async function withImage<T>(format: keyof typeof makers, use: (image: string, tree: string) => Promise<T>): Promise<T> {
  return withScratch(async (scratch) => {
    const tree = join(scratch, "tree");
    await mkdir(tree);
    await makeSampleTree(tree);
    await sh(scratch, `PATH=$PATH:/usr/sbin:/sbin; ${makers[format]}`);
    return use(join(scratch, "image"), tree);
  });
}

/** mkfs.ext4 gives the root a time of its own. */
function rootTime({ path, field }: Difference): boolean {
  return path === "" && field === "mtime";
}

describe.skipIf(lacking !== undefined)(`mountImage() ${lacking ?? ""}`, () => {
  it("shows an EROFS image's tree exactly", () =>
    withImage("erofs", (image, tree) =>
      mountImage({ image, format: "erofs" }, async (mountPoint) => {
        const comparison = await compareTrees(tree, mountPoint);
        expect(describeDifferences(comparison)).toBe("");
        expect(comparison.entryCount).toBe(11);
      }),
    ));

  it("shows an ext4 image's tree, less what mkfs cannot copy", () =>
    withImage("ext4", (image, tree) =>
      mountImage({ image, format: "ext4" }, async (mountPoint) => {
        const comparison = await compareTrees(tree, mountPoint, { ignore: [lostAndFound, rootTime] });
        expect(describeDifferences(comparison)).toBe("");
        expect(comparison.ignoredCounts).toEqual([2, 1]);
      }),
    ));

  it("lets a comparison find the one byte that differs on the disk", () =>
    withImage("erofs", async (image, tree) => {
      const disk = await readFile(image);
      disk[disk.indexOf("#!/bin/sh")] = 0x20;
      await writeFile(image, disk);
      await mountImage({ image, format: "erofs" }, async (mountPoint) => {
        expect((await compareTrees(tree, mountPoint)).differences).toMatchObject([
          { path: "program", field: "sha256" },
        ]);
      });
    }));

  it("rejects what the kernel does not mount", () =>
    withScratch(async (scratch) => {
      const image = join(scratch, "zeros");
      await sh(scratch, "truncate -s 1M zeros");
      await expect(mountImage({ image, format: "ext4" }, async () => "mounted")).rejects.toMatchObject({
        code: "tool_failed",
      });
    }));

  it("unmounts when its user throws or is aborted", () =>
    withImage("erofs", async (image) => {
      let used = "";
      const failing = mountImage({ image, format: "erofs" }, async (mountPoint) => {
        used = mountPoint;
        throw new Error("broken");
      });
      await expect(failing).rejects.toThrow("broken");
      expect(await readFile("/proc/mounts", "utf8")).not.toContain(used);
      await expect(stat(used)).rejects.toMatchObject({ code: "ENOENT" });
      const reason = new Error("enough");
      await expect(
        mountImage({ image, format: "erofs", signal: AbortSignal.abort(reason) }, async () => 1),
      ).rejects.toBe(reason);
    }));
});
