import { describe, expect, it } from "vitest";

import { memoryTree } from "../src/testing.js";
import { walkTrees } from "../src/tree-walk.js";
import { readLayer } from "./read-layer.js";
import { packTar } from "./packed-tar.js";

describe("walkTrees()", () => {
  it("gives each path of either tree once, in the order of both", async () => {
    const before = memoryTree([{ path: "a/x" }, { path: "a-b" }, { path: "c" }]);
    const after = memoryTree([{ path: "a/y" }, { path: "a-b" }, { path: "a.b/c" }]);
    const walked: string[] = [];
    for await (const pair of walkTrees(before, after)) {
      expect(pair.before?.path ?? pair.path).toBe(pair.path);
      expect(pair.after?.path ?? pair.path).toBe(pair.path);
      walked.push(`${pair.before ? "<" : ""}${pair.after ? ">" : ""}${pair.path}`);
    }
    expect(walked).toEqual(["<>", "<>a", "<a/x", ">a/y", "<>a-b", ">a.b", ">a.b/c", "<c"]);
  });

  it("does not begin after an abort", async () => {
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(walkTrees(memoryTree([]), memoryTree([]), { signal }).next()).rejects.toThrow("stop");
  });
});

describe("a whiteout", () => {
  it("may be of any name that a file can have", async () => {
    const name = "n".repeat(255);
    expect(readLayer(await packTar([{ name: `.wh.${name}` }])).map(({ entry }) => entry.path)).toEqual([name]);
    const long = await packTar([{ name: `.wh.${name}n` }]);
    expect(() => readLayer(long)).toThrow("over 255 bytes");
  });
});
