import { describe, expect, it } from "vitest";

import { memoryTree } from "../src/testing.js";
import type { MemoryTreeSpec } from "../src/testing.js";
import { compareTrees } from "../src/tree-comparison.js";
import type { CompareTreesOptions } from "../src/tree-comparison.js";

async function compare(
  before: MemoryTreeSpec,
  after: MemoryTreeSpec,
  options?: CompareTreesOptions,
): Promise<[string, string, ...string[]][]> {
  const found: [string, string, ...string[]][] = [];
  for await (const difference of compareTrees(memoryTree(before), memoryTree(after), options)) {
    const aspects = difference.change === "changed" ? difference.aspects : [];
    found.push([difference.change, difference.entry.path, ...aspects]);
  }
  return found;
}

describe("compareTrees()", () => {
  it("finds nothing between a tree and itself", async () => {
    const tree: MemoryTreeSpec = [
      { path: "etc", kind: "directory", mode: 0o700, mtime: { seconds: -1, nanoseconds: 5 } },
      { path: "etc/file", content: "text", xattrs: { "user.a": "x", "user.b": new Uint8Array([0, 255]) } },
      { path: "etc/name", hardlinkTo: "etc/file" },
      { path: "etc/holes", content: { size: 1 << 20, fill: 7 }, extents: [{ offset: 4096, length: 4096 }] },
      { path: "link", linkTarget: "etc" },
      { path: "tty", kind: "char", device: { major: 5, minor: 1 } },
    ];
    expect(await compare(tree, tree)).toEqual([]);
  });

  it("tells what was added and removed, in the order of a walk", async () => {
    const before = [{ path: "a/x" }, { path: "a-b" }, { path: "c", linkTarget: "x" }];
    const after = [{ path: "a/y" }, { path: "a-b" }, { path: "b/z" }];
    expect(await compare(before, after)).toEqual([
      ["removed", "a/x"],
      ["added", "a/y"],
      ["added", "b"],
      ["added", "b/z"],
      ["removed", "c"],
    ]);
  });

  it.each<[string, MemoryTreeSpec, MemoryTreeSpec]>([
    ["kind", [{ path: "a" }], [{ path: "a", linkTarget: "x" }]],
    ["mode", [{ path: "a", mode: 0o644 }], [{ path: "a", mode: 0o600 }]],
    ["owner", [{ path: "a", uid: 1 }], [{ path: "a", uid: 2 }]],
    ["owner", [{ path: "a", gid: 1 }], [{ path: "a", gid: 2 }]],
    ["mtime", [{ path: "a", mtime: 1 }], [{ path: "a", mtime: 2 }]],
    ["mtime", [{ path: "a", mtime: { seconds: 1, nanoseconds: 1 } }], [{ path: "a", mtime: 1 }]],
    ["xattrs", [{ path: "a", xattrs: { "user.a": "x" } }], [{ path: "a", xattrs: { "user.a": "y" } }]],
    ["xattrs", [{ path: "a", xattrs: { "user.a": "x" } }], [{ path: "a", xattrs: { "user.b": "x" } }]],
    ["size", [{ path: "a", content: "x" }], [{ path: "a", content: "xy" }]],
    ["content", [{ path: "a", content: "x" }], [{ path: "a", content: "y" }]],
    ["target", [{ path: "a", linkTarget: "x" }], [{ path: "a", linkTarget: "y" }]],
    [
      "device",
      [{ path: "a", kind: "char", device: { major: 1, minor: 3 } }],
      [{ path: "a", kind: "char", device: { major: 1, minor: 5 } }],
    ],
  ])("tells that %s differs, unless it is to ignore that", async (aspect, before, after) => {
    expect(await compare(before, after)).toEqual([["changed", "a", aspect]]);
    expect(await compare(before, after, { ignore: [aspect as "mode"] })).toEqual([]);
  });

  it("tells that hard links are other ones", async () => {
    const names = ["a", "b", "c", "d"].map((path) => ({ path, content: "x" }));
    const [a, b, c] = names as [(typeof names)[0], (typeof names)[0], (typeof names)[0]];
    const before = [a, b, { path: "c", hardlinkTo: "a" }, { path: "d", hardlinkTo: "b" }];
    const after = [a, b, { path: "c", hardlinkTo: "b" }, { path: "d", hardlinkTo: "a" }];
    expect(await compare(before, after)).toEqual([
      ["changed", "c", "links"],
      ["changed", "d", "links"],
    ]);
    const copied = [a, b, c, { path: "d", hardlinkTo: "b" }];
    expect((await compare(before, copied)).map(([, path]) => path)).toEqual(["a", "c"]);
    expect(await compare(before, after, { ignore: ["links"] })).toEqual([]);
  });

  it("finds a byte that differs in a long file, however it comes in chunks", async () => {
    const fill = (at: number): number => at & 0xff;
    const before = [{ path: "a", content: { size: 3_000_001, fill } }];
    const after = [
      { path: "a", content: { size: 3_000_001, fill: (at: number) => (at === 2_999_999 ? 0 : fill(at)) } },
    ];
    expect(await compare(before, after)).toEqual([["changed", "a", "content"]]);
  });

  it("does not begin after an abort", async () => {
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(compare([{ path: "a" }], [], { signal })).rejects.toThrow("stop");
  });
});
