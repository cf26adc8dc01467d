import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fixtures, missingForFixtures } from "@lamella/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compareTrees, describeDifferences } from "../src/compare-trees.js";
import type { Comparison, Difference } from "../src/compare-trees.js";
import { missing } from "../src/requirements.js";
import type { LayoutImage } from "../src/layout-image.js";
import {
  containerdClampsTime,
  rootTimeOfUnpacking,
  umociDropsEmptyXattr,
  withUnpackedTree,
} from "../src/unpacked-tree.js";
import { lower, makeLayout, upper } from "./sample-layout.js";
import { withScratch } from "./scratch.js";

const lacking = missing(["root", "umoci", "containerd", "ctr", "tar", "python3", "setfattr"]);
const lackingImages = lacking ?? missingForFixtures();

/** The rule for umoci, whose tree is the actual one here. */
function turnedRule(difference: Difference): boolean {
  return umociDropsEmptyXattr({ ...difference, expected: difference.actual, actual: difference.expected });
}

/** The tree that umoci unpacks against the one that containerd does. */
function compareUnpackers(first: LayoutImage, second: LayoutImage): Promise<Comparison> {
  return withUnpackedTree({ ...first, by: "containerd" }, (expected) =>
    withUnpackedTree({ ...second, by: "umoci" }, (actual) =>
      compareTrees(expected, actual, { ignore: [containerdClampsTime, rootTimeOfUnpacking, turnedRule] }),
    ),
  );
}

/** Layouts with layers by these scripts, and a cache of their own. */
async function withLayouts<T>(
  scripts: readonly (readonly string[])[],
  use: (images: LayoutImage[], cache: string) => Promise<T>,
): Promise<T> {
  return withScratch(async (scratch) => {
    process.env["LAMELLA_FIXTURES"] = join(scratch, "cache");
    const images = scripts.map((_, index) => ({ layout: join(scratch, String(index)), tag: "latest" }));
    for (const [index, { layout }] of images.entries()) await makeLayout(layout, scripts[index]!);
    return use(images, join(scratch, "cache"));
  });
}

describe.skipIf(lacking !== undefined)(`withUnpackedTree() ${lacking ?? ""}`, () => {
  const before = process.env["LAMELLA_FIXTURES"];
  beforeEach(() => delete process.env["LAMELLA_FIXTURES"]);
  afterEach(() => {
    if (before === undefined) delete process.env["LAMELLA_FIXTURES"];
    else process.env["LAMELLA_FIXTURES"] = before;
  });

  it("gives the same tree by umoci and by containerd, but for their known faults", () =>
    withLayouts([[lower, upper]], async ([image]) => {
      const comparison = await compareUnpackers(image!, image!);
      expect(describeDifferences(comparison)).toBe("");
      expect(comparison).toMatchObject({ entryCount: 11, ignoredCounts: [1, 1, 2] });
    }));

  it("lets a comparison find what differs in a layer", () =>
    withLayouts(
      [
        [lower, upper],
        [lower, `${upper}; rm etc/.wh.removed; chmod 700 etc/opaque; touch -d @1600000000 etc`],
      ],
      async ([image, other]) => {
        const { differences } = await compareUnpackers(image!, other!);
        expect(differences.map(({ path, field }) => `${path}: ${field}`)).toEqual([
          "etc/opaque: mode",
          "etc/removed: extra",
        ]);
      },
    ));

  it("unpacks once, and leaves nothing else in the cache", () =>
    withLayouts([[lower]], async ([image], cache) => {
      for (const by of ["umoci", "containerd", "umoci", "containerd"] as const) {
        expect(await withUnpackedTree({ ...image!, by }, (directory) => readdir(directory))).toEqual([
          "etc",
          "fifo",
          "null",
        ]);
      }
      expect((await readdir(join(cache, "unpacked"))).map((name) => name.split("-")[0])).toEqual([
        "containerd",
        "umoci",
      ]);
    }));

  it("rejects a tag that is not there, and leaves nothing", () =>
    withLayouts([[lower]], async ([image]) => {
      const unpacking = withUnpackedTree({ layout: image!.layout, tag: "none", by: "umoci" }, async () => 1);
      await expect(unpacking).rejects.toMatchObject({ code: "image_unreadable" });
    }));

  it("rejects with the signal's reason, and leaves nothing half made", () =>
    withLayouts([[lower]], async ([image], cache) => {
      const reason = new Error("enough");
      const aborted = withUnpackedTree(
        { ...image!, by: "containerd", signal: AbortSignal.abort(reason) },
        async () => 1,
      );
      await expect(aborted).rejects.toBe(reason);
      const controller = new AbortController();
      const unpacking = withUnpackedTree({ ...image!, by: "containerd", signal: controller.signal }, async () => 1);
      setTimeout(() => controller.abort(reason), 60);
      await expect(unpacking).rejects.toBe(reason);
      expect(await readdir(join(cache, "unpacked"))).toEqual([]);
    }));
});

describe.skipIf(lackingImages !== undefined)(`umoci and containerd ${lackingImages ?? ""}`, () => {
  it("agree about node-app, but for their known faults", { timeout: 1_200_000 }, async () => {
    const image = { layout: (await fixtures(["node-app"])).layout("node-app"), tag: "latest" };
    const comparison = await compareUnpackers(image, image);
    expect(describeDifferences(comparison)).toBe("");
    expect(comparison.entryCount).toBeGreaterThan(50_000);
    expect(comparison.ignoredCounts).toEqual([1, 1, 1]);
  });
});
