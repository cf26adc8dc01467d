import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { layerStack, type StackOptions } from "@lamella/fuzz";
import type { FileTree } from "@lamella/layer-format";
import {
  compareTrees,
  describeDifferences,
  type Difference,
  missing,
  mountLayers,
  rootTimeOfUnpacking,
  unpackWithContainerd,
  unpackWithUmoci,
} from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { mergeTars, treeRecords, writeLayout } from "./layer-stack-image.js";

const STACKS = Number(process.env["LAMELLA_MERGE_STACKS"] ?? 60);
const SEED = Number(process.env["LAMELLA_MERGE_SEED"] ?? 20_240_917);
const IMAGES: readonly StackOptions[] = [
  { seed: SEED, layers: 20, stacks: STACKS, changes: 12 },
  { seed: SEED + 1, layers: 128, stacks: 2, changes: 8 },
];
const STARTED = Date.now();
const reason = missing(["root", "umoci", "containerd", "mount", "python3"]);

describe.skipIf(reason !== undefined).each(IMAGES)(
  `$stacks generated stacks of $layers layers (${reason ?? "seed $seed"})`,
  (options) => {
    let work = "";
    let layout = "";
    let tars: readonly Buffer[] = [];
    let tree: FileTree;
    let unpacked = "";

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-stacks-"));
      layout = join(work, "layout");
      tars = layerStack(options);
      await writeLayout(layout, tars);
      tree = await mergeTars(tars);
      unpacked = join(work, "umoci");
      await unpackWithUmoci({ layout, tag: "latest", target: unpacked });
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("merge into what umoci unpacks", async () => {
      const comparison = await compareTrees(unpacked, treeRecords(tree));
      expect(describeDifferences(comparison)).toBe("");
      expect(comparison.entryCount).toBeGreaterThan(10 * options.stacks);
    });

    it("merge into what overlayfs shows of what containerd unpacks", async () => {
      const target = join(work, "containerd");
      const count = await unpackWithContainerd({ layout, tag: "latest", target });
      await mountLayers({ directory: target, count }, async (mountPoint) => {
        const ignore = [rootTimeOfUnpacking, hiddenLinks, timeOfUnpacking];
        const comparison = await compareTrees(mountPoint, treeRecords(tree), { ignore });
        expect(describeDifferences(comparison)).toBe("");
        expect(comparison.entryCount).toBeGreaterThan(10 * options.stacks);
        expect(comparison.ignoredCounts.slice(1).every((count) => count > 0)).toBe(true);
      });
    });

    it("are seen to differ where a layer is missing", async () => {
      const comparison = await compareTrees(unpacked, treeRecords(await mergeTars(tars.slice(0, -1))));
      expect(comparison.differenceCount).toBeGreaterThan(0);
    });
  },
);

/** containerd leaves a directory that a layer writes into without naming it at the time of that. */
function timeOfUnpacking({ field, expected = "0" }: Difference): boolean {
  return field === "mtime" && BigInt(expected) >= BigInt(STARTED) * 1_000_000n;
}

/** overlayfs gives the link count of the inode below, names included that a higher layer hides. */
function hiddenLinks({ field, expected, actual }: Difference): boolean {
  return field === "links" && Number(expected) > Number(actual);
}
