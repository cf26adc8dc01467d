import { compareTrees, writeTar } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { diffTrees } from "../src/diff/diff-trees.js";
import type { DiffOptions } from "../src/diff/diff-trees.js";
import { bytesOf, diffTar, mergeTars } from "./diff-trees.js";
import { treePair } from "./tree-arbitrary.js";

const VARIANTS: readonly [string, DiffOptions][] = [
  ["always read contents", { content: "always" }],
  ["links to names below", { content: "always", linksBelow: true }],
];

/** The tree as the tar of its own layer has it, which the tar's reader gave. */
async function fromTar(tree: FileTree): Promise<Buffer> {
  return diffTar(memoryTree([]), tree);
}

async function differences(before: FileTree, after: FileTree): Promise<string[]> {
  const found: string[] = [];
  for await (const difference of compareTrees(before, after)) {
    const aspects = difference.change === "changed" ? difference.aspects.join(" ") : "";
    found.push(`${difference.change} ${difference.entry.path} ${aspects}`);
  }
  return found;
}

describe("a layer of diffTrees()", () => {
  it.each(VARIANTS)("makes the upper tree of the lower one, through real tars (%s)", async (_, options) => {
    const seen = { opaque: 0, whiteout: 0, hardlink: 0 };
    await fc.assert(
      fc.asyncProperty(treePair, async ([a, b]) => {
        const lower = memoryTree(a);
        const upper = memoryTree(b);
        const base = await fromTar(lower);
        for await (const { kind } of diffTrees(lower, upper, options)) if (kind in seen) seen[kind as "opaque"]++;
        const merged = await mergeTars([base, await diffTar(lower, upper, options)]);
        expect(await differences(merged, upper)).toEqual([]);
      }),
      { numRuns: 600 },
    );
    // Or the property would say little.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });

  it("has the same bytes whenever it is made, whatever the trees are read from", async () => {
    await fc.assert(
      fc.asyncProperty(treePair, async ([a, b]) => {
        const tar = await diffTar(memoryTree(a), memoryTree(b), { content: "always" });
        expect(tar.equals(await diffTar(memoryTree(a), memoryTree(b), { content: "always" }))).toBe(true);
        const lower = await mergeTars([await fromTar(memoryTree(a))]);
        const upper = await mergeTars([await fromTar(memoryTree(b))]);
        expect(tar.equals(await diffTar(lower, upper, { content: "always" }))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it("is empty between a tree and itself, and between what a diff has made and what was meant", async () => {
    const empty = await bytesOf(writeTar((async function* () {})()));
    await fc.assert(
      fc.asyncProperty(treePair, async ([a, b]) => {
        expect(empty.equals(await diffTar(memoryTree(a), memoryTree(a)))).toBe(true);
        const lower = memoryTree(a);
        const merged = await mergeTars([
          await fromTar(lower),
          await diffTar(lower, memoryTree(b), { content: "always" }),
        ]);
        expect(empty.equals(await diffTar(merged, memoryTree(b), { content: "always" }))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
