import { mkdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareTrees, describeDifferences } from "../src/compare-trees.js";
import { cpioCannotHold, extractCpio } from "../src/cpio.js";
import { missing } from "../src/requirements.js";
import { makeSampleTree, sh } from "./sample-tree.js";
import { withScratch } from "./scratch.js";

const lacking = missing(["root", "bsdtar", "cpio", "python3", "setfattr"]);

async function withArchive<T>(use: (paths: { tree: string; archive: string; out: string }) => Promise<T>): Promise<T> {
  return withScratch(async (scratch) => {
    const [tree, archive, out] = [join(scratch, "tree"), join(scratch, "archive"), join(scratch, "out")];
    await mkdir(tree);
    await mkdir(out);
    await makeSampleTree(tree);
    await sh(
      tree,
      "touch -d @1500000000.5 etc/empty; touch -d @-5 etc/deep/large; mknod null c 1 3; touch -d @7 null; chown 3:4 fifo",
    );
    await sh(tree, "find . -print0 | cpio --null --create --format=newc --quiet -F ../archive");
    return use({ tree, archive, out });
  });
}

describe.skipIf(lacking !== undefined)(`extractCpio() ${lacking ?? ""}`, () => {
  it("gives the tree back, less what cpioCannotHold()", () =>
    withArchive(async ({ tree, archive, out }) => {
      await extractCpio(archive, out);
      const comparison = await compareTrees(tree, out, { ignore: [cpioCannotHold] });
      expect(describeDifferences(comparison)).toBe("");
      // three attributes (one seen by two names); the times of the root, of a part of a second, of 1969
      expect(comparison).toMatchObject({ entryCount: 12, ignoredCounts: [6] });
    }));

  it("lets a comparison find the one byte that differs in the archive", () =>
    withArchive(async ({ tree, archive, out }) => {
      await sh(out, "sed -i 's/hello/hellO/' ../archive");
      await extractCpio(archive, out);
      const { differences } = await compareTrees(tree, out, { ignore: [cpioCannotHold] });
      expect(differences.map(({ path, field }) => `${path}: ${field}`)).toEqual([
        "etc/deep/again: sha256",
        "etc/text: sha256",
      ]);
    }));

  it("rejects an archive that is cut off", () =>
    withArchive(async ({ archive, out }) => {
      await truncate(archive, 100_000);
      await expect(extractCpio(archive, out)).rejects.toMatchObject({ code: "tool_failed" });
    }));
});
