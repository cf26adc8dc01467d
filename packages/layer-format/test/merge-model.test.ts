import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Entry, FileTree } from "../src/file-tree.js";
import { LayerFormatError } from "../src/errors.js";
import { mergeLayers } from "../src/merge/merge.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { naiveLine, naiveMerge } from "./naive-merge.js";
import { entriesOf } from "./tree-listing.js";

const name = fc.constantFrom("a", "b", "a-");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const mode = fc.constantFrom(0o600, 0o640, 0o700);
const entry: fc.Arbitrary<MemoryLayerSpec[number]> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ path, mode, kind: fc.constantFrom("file" as const, "fifo" as const) }) },
  { weight: 4, arbitrary: fc.record({ path, mode, kind: fc.constant("directory" as const) }) },
  { weight: 2, arbitrary: fc.record({ path, mode, kind: fc.constant("hardlink" as const), linkTarget: path }) },
  { weight: 3, arbitrary: fc.record({ path, kind: fc.constantFrom("whiteout" as const, "opaque" as const) }) },
);
const layers = fc.array(fc.array(entry, { maxLength: 6 }), { minLength: 1, maxLength: 4 });

function linesOf(entries: readonly Entry[]): string[] {
  return entries.slice(1).map((shown) => {
    const same = entries.filter((other) => other.inode === shown.inode).map((other) => other.path);
    expect(shown.links).toBe(same.length);
    return naiveLine(shown.path, shown.kind, shown.mode, same);
  });
}

async function mergedLines(specs: readonly MemoryLayerSpec[]): Promise<string[] | undefined> {
  let tree: FileTree;
  try {
    tree = await mergeLayers(specs.map(memoryLayer));
  } catch (error) {
    if (error instanceof LayerFormatError && error.code === "layer_invalid") return undefined;
    throw error;
  }
  const entries = await entriesOf(tree);
  expect(tree.entryCount).toBe(entries.length);
  const firstSeen = [...new Set(entries.map((shown) => shown.inode))];
  expect(firstSeen).toEqual(Array.from({ length: tree.inodeCount }, (_, index) => index));
  return linesOf(entries);
}

describe("mergeLayers()", () => {
  it("gives what a naive merge over flat paths gives", async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(layers, async (specs) => {
        const merged = await mergedLines(specs);
        expect(merged).toEqual(naiveMerge(specs.map((spec) => memoryLayer(spec).entries)));
        if (merged !== undefined && merged.length > 1) accepted++;
      }),
      { numRuns: 3000 },
    );
    // Or the property would say little.
    expect(accepted).toBeGreaterThan(300);
  });
});
