import { execFileSync } from "node:child_process";
import { linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { LayerFormatError } from "../src/errors.js";
import type { Entry } from "../src/file-tree.js";
import { mergeLayers } from "../src/merge/merge.js";
import type { LayeredTree } from "../src/merge/merged-tree.js";
import { openDirectoryTree } from "../src/node/directory/directory-tree.js";
import { unpackLayer } from "../src/node/unpack/unpack-layer.js";
import { unpackTree } from "../src/node/unpack/unpack-tree.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { compareTrees, type EntryAspect } from "../src/tree-comparison.js";
import { layerStacks } from "./layer-stacks.js";

const isRoot = process.getuid?.() === 0;
const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
/** Access control list: the owner, user 5, the group, the mask, all others. */
const ACL = Buffer.from(
  "0200000001000700ffffffff020005000500000004000500ffffffff10000700ffffffff20000500ffffffff",
  "hex",
);

describe("unpackLayer()", () => {
  let work = "";
  let target = "";

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "unpack-layer-"));
    target = join(work, "out");
  });
  afterEach(() => void execFileSync("rm", ["-rf", work]));

  /** A line for everything in which the directory is not what the layers make. */
  async function differences(expected: LayeredTree): Promise<string[]> {
    await using made = await openDirectoryTree(target, { xattrs: true });
    const ignore: EntryAspect[] = isRoot ? [] : ["owner", "xattrs"];
    const lines: string[] = [];
    for await (const difference of compareTrees(expected, made, { ignore })) {
      const { change, entry } = difference;
      if (cannotBeMade(entry)) continue;
      // user.* is for files and directories alone.
      const takesXattrs = entry.kind === "file" || entry.kind === "directory";
      const aspects = change === "changed" ? difference.aspects.filter((it) => it !== "xattrs" || takesXattrs) : [];
      if (change !== "changed" || aspects.length > 0) lines.push(`${change} ${entry.path}: ${aspects.join()}`);
    }
    return lines;
  }

  async function lay(lower: MemoryLayerSpec, layer: MemoryLayerSpec): Promise<string[]> {
    const layers = [memoryLayer(lower), memoryLayer(layer)] as const;
    const below = await mergeLayers(layers.slice(0, 1));
    await unpackTree(below, target);
    await unpackLayer(below, layers[1], target);
    return differences(await mergeLayers(layers));
  }

  it("makes of a directory that shows the lower layers one that shows them with the layer", async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(layerStacks, async (specs) => {
        const layers = specs.map(memoryLayer);
        const expected = await mergeLayers(layers).catch(() => undefined);
        fc.pre(expected !== undefined);
        const lower = await mergeLayers(layers.slice(0, -1));
        const losesOfRoot = [...((await lower.lookup(""))?.xattrs.keys() ?? [])];
        const root = await expected.lookup("");
        fc.pre(losesOfRoot.every((name) => root?.xattrs.has(name)));
        await unpackTree(lower, target);
        await unpackLayer(lower, layers.at(-1)!, target);
        expect(await differences(expected)).toEqual([]);
        execFileSync("rm", ["-rf", target]);
        compared += 1;
      }),
      { numRuns: 60 },
    );
    expect(compared).toBe(60);
  }, 60_000);

  it("leaves what does not change as it is, and links new names to it", async () => {
    const directory = { kind: "directory" as const, ...own };
    const files: MemoryLayerSpec = [
      { path: "d/a", content: "1", ...own },
      { path: "e", ...directory },
      { path: "e/b", ...own },
    ];
    const lower = await mergeLayers([memoryLayer(files)]);
    await unpackTree(lower, target);
    const before = lstatSync(join(target, "d/a"), { bigint: true });
    const layer = memoryLayer([{ path: "e/c", kind: "hardlink", linkTarget: "d/a", ...own }]);
    expect(await unpackLayer(lower, layer, target, { durable: true })).toEqual({ entries: 2, bytes: 0, losses: [] });
    const after = lstatSync(join(target, "e/c"), { bigint: true });
    expect(after).toMatchObject({ ino: before.ino, nlink: 2n, mtimeNs: before.mtimeNs });
  });

  it("writes a file of below anew whose attributes change, all its names together", async () => {
    const base: MemoryLayerSpec = [
      { path: "a", content: "1", ...own },
      { path: "b", hardlinkTo: "a" },
    ];
    expect(await lay(base, [{ path: "c", kind: "hardlink", linkTarget: "b", mode: 0o600, ...own }])).toEqual([]);
  });

  it("removes what is whited out, and directories that become something else with all they hold", async () => {
    const base: MemoryLayerSpec = [
      { path: "a/b/c", ...own },
      { path: "d/e", ...own },
      { path: "f", linkTarget: "d" },
      { path: "g/h", ...own },
    ];
    const layer: MemoryLayerSpec = [
      { path: "a", kind: "whiteout" },
      { path: "d", content: "now a file", ...own },
      { path: "f", kind: "directory", ...own },
      { path: "f/x", ...own },
      { path: "g", kind: "opaque" },
    ];
    expect(await lay(base, layer)).toEqual([]);
    expect(readFileSync(join(target, "d"), "utf8")).toBe("now a file");
  });

  it("takes extended attributes from a directory, which keeps what it holds", async () => {
    const base: MemoryLayerSpec = [
      { path: "a", kind: "directory", xattrs: { "user.u": "1", "user.v": "2" }, ...own },
      { path: "a/b", kind: "directory", xattrs: { "user.w": "1" }, mtime: 7, ...own },
      { path: "a/b/c", content: "3", ...own },
    ];
    const layer: MemoryLayerSpec = [
      { path: "a", kind: "directory", xattrs: { "user.v": "3" }, ...own },
      { path: "a/b", kind: "directory", mtime: 8, ...own },
    ];
    expect(await lay(base, layer)).toEqual([]);
  });

  it("gives nothing an access control list that is only its directory's default", async () => {
    const xattrs = { "system.posix_acl_default": ACL };
    const base: MemoryLayerSpec = [
      { path: "a", kind: "directory", xattrs, ...own },
      { path: "a/b", ...own },
    ];
    expect(
      await lay(base, [
        { path: "a/c", mode: 0o640, ...own },
        { path: "a/d/e", ...own },
      ]),
    ).toEqual([]);
  });

  it("refuses to take extended attributes from the root, before anything changes", async () => {
    const lower = await mergeLayers([
      memoryLayer([{ path: "", kind: "directory", xattrs: { "user.u": "1" } }, { path: "a" }]),
    ]);
    mkdirSync(target);
    writeFileSync(join(target, "a"), "");
    const layer = memoryLayer([
      { path: "", kind: "directory" },
      { path: "a", kind: "whiteout" },
    ]);
    await expect(unpackLayer(lower, layer, target)).rejects.toMatchObject({
      code: "unpack_failed",
      message: expect.stringContaining("its root would have to lose extended attributes"),
    });
    expect(lstatSync(join(target, "a")).isFile()).toBe(true);
  });

  it("does not go through a symlink that stands in a directory's place", async () => {
    const lower = await mergeLayers([memoryLayer([{ path: "a/b/c" }])]);
    mkdirSync(join(work, "outside/b"), { recursive: true });
    writeFileSync(join(work, "outside/b/c"), "");
    mkdirSync(target);
    symlinkSync(join(work, "outside"), join(target, "a"));
    const layer = memoryLayer([
      { path: "a/b/c", kind: "whiteout" },
      { path: "a/b/d", content: "1" },
    ]);
    await expect(unpackLayer(lower, layer, target)).rejects.toMatchObject({
      code: "tree_changed",
      message: `cannot unpack into ${JSON.stringify(target)}: "a" is no directory`,
    });
    expect(lstatSync(join(work, "outside/b/c")).isFile()).toBe(true);
  });

  it("refuses a bad layer before anything changes", async () => {
    const lower = await mergeLayers([memoryLayer([{ path: "a" }])]);
    mkdirSync(target);
    writeFileSync(join(target, "a"), "");
    linkSync(join(target, "a"), join(target, "b"));
    const layer = memoryLayer([
      { path: "a", kind: "whiteout" },
      { path: "c", kind: "hardlink", linkTarget: "nothing" },
    ]);
    const refused = await unpackLayer(lower, layer, target).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LayerFormatError);
    expect(refused).toMatchObject({ code: "layer_invalid" });
    expect(lstatSync(join(target, "a")).nlink).toBe(2);
  });

  it("rejects with a signal's reason before anything changes", async () => {
    const reason = new Error("enough");
    const lower = await mergeLayers([]);
    mkdirSync(target);
    const unpacking = unpackLayer(lower, memoryLayer([{ path: "a" }]), target, { signal: AbortSignal.abort(reason) });
    await expect(unpacking).rejects.toBe(reason);
  });
});

function cannotBeMade({ kind, deviceMajor, deviceMinor }: Entry): boolean {
  if (kind === "socket") return true;
  return !isRoot && (kind === "block" || (kind === "char" && deviceMajor + deviceMinor > 0));
}
