import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { buildIndex } from "../src/tree/build-index.js";
import { nodePath } from "../src/tree/node-path.js";
import { listedTree, SAMPLE, sampleTree } from "./sample-tree.js";

describe("buildIndex()", () => {
  it("knows every inode by its first path", async () => {
    await using tree = sampleTree();
    const index = await buildIndex(tree);
    expect([index.nameCount, index.nodeCount]).toEqual([SAMPLE.length, SAMPLE.length - 1]);
    const paths = Array.from({ length: index.nodeCount }, (_, node) => nodePath(index, node));
    const listed: string[] = [];
    for await (const { path } of tree.entries()) if (path !== "other name") listed.push(path);
    expect(paths).toEqual(listed);
  });

  it("takes names of a million bytes and more in all", async () => {
    const spec = Array.from({ length: 5000 }, (_, at) => ({ path: `${at}`.padStart(250, "0") }));
    const index = await buildIndex(memoryTree(spec));
    expect(nodePath(index, 5000)).toBe("4999".padStart(250, "0"));
    expect(index.bytes.length).toBeGreaterThan(1_250_000);
  });

  it.each<[string, Parameters<typeof listedTree>[0]]>([
    ["without a root", [{ path: "a" }]],
    ["whose root is a file", [{ path: "", kind: "file" }]],
    ["with two roots", [{ path: "" }, { path: "" }]],
    ["with names out of order", [{ path: "" }, { path: "b" }, { path: "a" }]],
    ["with a name twice", [{ path: "" }, { path: "a" }, { path: "a" }]],
    ["with a child before its parent", [{ path: "" }, { path: "a/b" }]],
    ["with something below a file", [{ path: "" }, { path: "a" }, { path: "a/b" }]],
    ["with one directory by two names", [{ path: "" }, { path: "a", kind: "directory", inode: 0 }]],
    ["with an inode beyond its count", [{ path: "" }, { path: "a", inode: 2 }]],
  ])("refuses a tree %s", async (_, entries) => {
    await expect(buildIndex(listedTree(entries))).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it.each([{ entryCount: 1 }, { entryCount: 3 }, { inodeCount: 1 }, { inodeCount: 3 }, { entryCount: 0 }])(
    "refuses a tree that miscounts: %j",
    async (counts) => {
      const tree = listedTree([{ path: "" }, { path: "a" }], counts);
      await expect(buildIndex(tree)).rejects.toMatchObject({ code: "tree_invalid" });
    },
  );

  it("refuses what FUSE has no place for, by its name", async () => {
    const longName = listedTree([{ path: "" }, { path: "x".repeat(1025) }]);
    await expect(buildIndex(longName)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("1024") as string,
    });
    const device = { path: "dev\n", kind: "block", deviceMajor: 4096, deviceMinor: 0 } as const;
    await expect(buildIndex(listedTree([{ path: "" }, device]))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/^cannot mount "dev\\n": .*4096:0/) as string,
    });
  });

  it("rejects with the reason of an aborted signal", async () => {
    const reason = new Error("enough");
    await expect(buildIndex(sampleTree(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
