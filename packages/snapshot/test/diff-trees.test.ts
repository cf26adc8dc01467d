import { LayerFormatError, writeTar } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { diffTrees } from "../src/diff/diff-trees.js";
import type { DiffOptions } from "../src/diff/diff-trees.js";
import { SnapshotError } from "../src/errors.js";
import { bytesOf, diffLines, diffTar, mergeTars } from "./diff-trees.js";

const EXACT = { seconds: 1_700_000_000, nanoseconds: 1 };
const directory = (path: string, mode = 0o755): MemoryTreeSpec[number] => ({ path, kind: "directory", mode });

describe("diffTrees(), as containerd's differ,", () => {
  it("gives nothing for trees that are the same", async () => {
    expect(await diffLines([directory("etc")], [directory("etc")])).toEqual([]);
  });

  it("includes the parents of what is new", async () => {
    const before = [directory("d1"), directory("d2", 0o770)];
    const after = [...before, directory("d1/d", 0o700), { path: "d2/f", content: "ok" }];
    expect(await diffLines(before, after)).toEqual(["+ d1/ 755", "+ d1/d/ 700", "+ d2/ 770", "+ d2/f"]);
  });

  it("brings an inode with all its names, and their parents, where it gets a new one", async () => {
    const file = (path: string): MemoryTreeSpec[number] => ({ path, content: "link me" });
    const link = (path: string, hardlinkTo: string): MemoryTreeSpec[number] => ({ path, hardlinkTo });
    const shared = [file("d1/f1"), file("d2/f1"), directory("d3"), file("d4/f1"), file("d5/f1"), directory("d6")];
    const before = [...shared, link("d6/l1", "d1/f1"), link("d6/l2", "d5/f1"), file("d6/stays")];
    const after = [...shared, link("d2/l1", "d1/f1"), link("d3/l1", "d4/f1"), file("d6/stays")];
    expect(await diffLines(before, after)).toEqual([
      "+ d1/ 755",
      "+ d1/f1",
      "+ d2/ 755",
      "= d2/l1 d1/f1",
      "+ d3/ 755",
      "+ d3/l1",
      "+ d4/ 755",
      "= d4/f1 d3/l1",
      "+ d6/ 755",
      "- d6/l1",
      "- d6/l2",
    ]);
  });

  it("brings a directory of another permission", async () => {
    const before = [directory("d1"), directory("d2", 0o770), directory("d3")];
    const after = [directory("d1", 0o777), directory("d1/d", 0o700), ...before.slice(1), { path: "d2/f" }];
    expect(await diffLines(before, after)).toEqual(["+ d1/ 777", "+ d1/d/ 700", "+ d2/ 770", "+ d2/f"]);
  });

  it("brings a changed parent of a hard link once", async () => {
    const before = [directory("d1"), { path: "d1/f1" }, directory("d2"), { path: "d3/f1" }, directory("d4")];
    const after = [
      directory("d1", 0o777),
      { path: "d1/f1" },
      { path: "d2/l1", hardlinkTo: "d1/f1" },
      { path: "d3/f1" },
      directory("d4", 0o777),
      { path: "d4/l1", hardlinkTo: "d3/f1" },
    ];
    expect(await diffLines(before, after)).toEqual([
      "+ d1/ 777",
      "+ d1/f1",
      "+ d2/ 755",
      "= d2/l1 d1/f1",
      "+ d3/ 755",
      "+ d3/f1",
      "+ d4/ 777",
      "= d4/l1 d3/f1",
    ]);
  });

  it("includes the parents of a whiteout", async () => {
    const before = [{ path: "d1/f1" }, { path: "d2/f1" }, { path: "d2/f2" }, { path: "d4/f1" }, { path: "d5/f1" }];
    const after = [directory("d1"), { path: "d2/f2", mode: 0o777 }, { path: "d4/f0" }];
    expect(await diffLines(before, after)).toEqual([
      "+ d1/ 755",
      "- d1/f1",
      "+ d2/ 755",
      "- d2/f1",
      "+ d2/f2",
      "+ d4/ 755",
      "+ d4/f0",
      "- d4/f1",
      "- d5",
    ]);
  });

  it("removes a tree by one whiteout", async () => {
    const before = [directory("d1"), { path: "d2/a/f1" }, { path: "d2/a/f2" }];
    expect(await diffLines(before, [directory("d3")])).toEqual(["- d1", "- d2", "+ d3/ 755"]);
  });

  it("leaves sockets out, tells of them, and removes what they have replaced", async () => {
    const sockets: string[] = [];
    const before: MemoryTreeSpec = [{ path: "f1" }, { path: "old", kind: "socket" }, { path: "was/file" }];
    const after: MemoryTreeSpec = [
      { path: "f1" },
      { path: "f2" },
      { path: "old", kind: "socket" },
      { path: "s0", kind: "socket" },
      { path: "was", kind: "socket" },
    ];
    const lines = await diffLines(before, after, { onSocket: ({ path }) => sockets.push(path) });
    expect(lines).toEqual(["+ f2", "- was"]);
    expect(sockets).toEqual(["s0", "was"]);
  });

  it("clamps times to SOURCE_DATE_EPOCH, which whiteouts have", async () => {
    const before = [{ path: "gone" }, { path: "d/a" }, { path: "d/b" }];
    const after = [
      { path: "old", mtime: { seconds: 99, nanoseconds: 5 } },
      { path: "new", mtime: { seconds: 100, nanoseconds: 1 } },
      { path: "d", kind: "directory" as const, mtime: 200 },
    ];
    const times = async (options: DiffOptions): Promise<string[]> => {
      const found: string[] = [];
      for await (const { kind, path, mtimeSeconds, mtimeNanoseconds } of diffTrees(
        memoryTree(before),
        memoryTree(after),
        options,
      ))
        found.push(`${kind} ${path} ${mtimeSeconds}.${mtimeNanoseconds}`);
      return found;
    };
    expect(await times({ sourceDateEpoch: 100 })).toEqual([
      "directory d 100.0",
      "opaque d 100.0",
      "whiteout gone 100.0",
      "file new 100.0",
      "file old 99.5",
    ]);
    expect(await times({})).toContain("whiteout gone 0.0");
    expect(await times({ wholeSeconds: true })).toContain("file old 99.0");
  });

  it("keeps a device's numbers up to what a tar holds, and refuses others", async () => {
    const device = (minor: number): MemoryTreeSpec => [{ path: "dev/a", kind: "char", device: { major: 259, minor } }];
    const tree = await mergeTars([await diffTar(memoryTree([]), memoryTree(device(262_143)))]);
    expect(await tree.lookup("dev/a")).toMatchObject({ kind: "char", deviceMajor: 259, deviceMinor: 262_143 });
    const refused = diffTar(memoryTree([]), memoryTree(device(262_144)));
    await expect(refused).rejects.toBeInstanceOf(LayerFormatError);
    await expect(refused).rejects.toMatchObject({ code: "layer_invalid" });
  });
});

describe("diffTrees(), beyond containerd's,", () => {
  it.each<[string, MemoryTreeSpec, MemoryTreeSpec]>([
    ["an xattr", [{ path: "a", xattrs: { "user.a": "x" } }], [{ path: "a", xattrs: { "user.a": "y" } }]],
    ["a nanosecond", [{ path: "a", mtime: EXACT }], [{ path: "a", mtime: { ...EXACT, nanoseconds: 2 } }]],
    ["a directory's time", [{ path: "a", kind: "directory" }], [{ path: "a", kind: "directory", mtime: 1 }]],
    ["an owner", [{ path: "a" }], [{ path: "a", gid: 3_000_000_000 }]],
    ["a symlink's target", [{ path: "a", linkTarget: "x" }], [{ path: "a", linkTarget: "y" }]],
    [
      "a device number",
      [{ path: "a", kind: "block", device: { major: 1, minor: 3 } }],
      [{ path: "a", kind: "block", device: { major: 1, minor: 5 } }],
    ],
    ["a kind", [{ path: "a", kind: "fifo" }], [{ path: "a" }]],
    ["content of the same size and whole second", [{ path: "a", content: "x" }], [{ path: "a", content: "y" }]],
  ])("brings what differs in %s", async (_, before, after) => {
    expect(await diffLines(before, after)).toHaveLength(1);
    expect(await diffLines(after, before)).toHaveLength(1);
  });

  it("brings the root where it differs, and not as a parent", async () => {
    const root = (mode: number): MemoryTreeSpec[number] => directory("", mode);
    expect(await diffLines([root(0o755)], [root(0o700), { path: "a" }])).toEqual(["+ / 700", "+ a"]);
    expect(await diffLines([root(0o755)], [root(0o755), { path: "a" }])).toEqual(["+ a"]);
  });

  it("takes equal times with nanoseconds for equal content, unless it is to compare always", async () => {
    const before = [{ path: "a", content: "x", mtime: EXACT }];
    const after = [{ path: "a", content: "y", mtime: EXACT }];
    expect(await diffLines(before, after)).toEqual([]);
    expect(await diffLines(before, after, { content: "always" })).toEqual(["+ a"]);
  });

  it("compares whole seconds where it is to write them, and then the content", async () => {
    const before = [{ path: "a", content: "x", mtime: EXACT }];
    const at = (content: string): MemoryTreeSpec => [{ path: "a", content, mtime: { ...EXACT, nanoseconds: 2 } }];
    expect(await diffLines(before, at("x"), { wholeSeconds: true })).toEqual([]);
    expect(await diffLines(before, at("y"), { wholeSeconds: true })).toEqual(["+ a"]);
    expect(await diffLines(before, at("x"))).toEqual(["+ a"]);
  });

  it("reads no file of which both trees have the same entry of a layer", async () => {
    const spec = [{ path: "a", content: { size: 1e15, fill: 1 } }];
    expect(await diffLines(spec, [...spec], { content: "always" })).toEqual([]);
  });

  it("replaces a directory by what it has become, without whiteouts of what was in it", async () => {
    const before = [{ path: "a/b/c" }, { path: "a/d" }, { path: "e" }];
    const after = [{ path: "a", linkTarget: "e" }, { path: "e/f" }];
    expect(await diffLines(before, after)).toEqual(["+ a", "+ e/ 755", "+ e/f"]);
  });

  it("takes an opaque directory for several whiteouts, at the topmost place", async () => {
    const before = [{ path: "d/a" }, { path: "d/b" }, { path: "d/s/x" }, { path: "d/s/y" }, { path: "d/s/z" }];
    const after = [{ path: "d/new" }, { path: "d/s/new" }];
    expect(await diffLines(before, after)).toEqual(["+ d/ 755", "! d", "+ d/new", "+ d/s/ 755", "+ d/s/new"]);
  });

  it("takes whiteouts where one is enough, where something stays, and in the root", async () => {
    expect(await diffLines([{ path: "d/a" }], [{ path: "d/b" }])).toEqual(["+ d/ 755", "- d/a", "+ d/b"]);
    const stays = [{ path: "d/a" }, { path: "d/b" }, { path: "d/s/t/stays" }];
    expect(await diffLines(stays, stays.slice(2))).toEqual(["+ d/ 755", "- d/a", "- d/b"]);
    expect(await diffLines([{ path: "a" }, { path: "b" }], [{ path: "c" }])).toEqual(["- a", "- b", "+ c"]);
  });

  it("brings back a directory that only its whiteouts would have brought, below an opaque one", async () => {
    const before = [{ path: "c/a" }, { path: "c/b/a" }];
    const after = [directory("c/b")];
    expect(await diffLines(before, after)).toEqual(["+ c/ 755", "! c", "+ c/b/ 755"]);
  });

  it("parts and joins hard links", async () => {
    const linked = [{ path: "a" }, { path: "b", hardlinkTo: "a" }, { path: "c", hardlinkTo: "a" }];
    const apart = [{ path: "a" }, { path: "b" }, { path: "c" }];
    expect(await diffLines(linked, apart)).toEqual(["+ b", "+ c"]);
    expect(await diffLines(apart, linked)).toEqual(["+ a", "= b a", "= c a"]);
    expect(await diffLines(linked, linked.slice(0, 2))).toEqual(["- c"]);
  });

  it("brings a changed inode with all its names", async () => {
    const linked = (mode: number): MemoryTreeSpec => [
      { path: "a", mode },
      { path: "d/b", hardlinkTo: "a" },
    ];
    expect(await diffLines(linked(0o644), linked(0o600))).toEqual(["+ a", "+ d/ 755", "= d/b a"]);
  });

  it("links to names below where it may", async () => {
    const before = [{ path: "m", content: "long" }];
    const after = [...before, { path: "a", hardlinkTo: "m" }, { path: "z", hardlinkTo: "m" }];
    expect(await diffLines(before, after, { linksBelow: true })).toEqual(["= a m", "= z m"]);
  });

  it.each([
    ["a file", [], [{ path: "d/.wh.a" }]],
    ["a directory of that name", [], [directory(".wh.a")]],
    ["a parent of that name", [directory(".wh.a")], [{ path: ".wh.a/b" }]],
    ["what has gone", [{ path: ".wh.a" }], []],
  ])("refuses a name that a layer takes for a whiteout: %s", async (_, before, after) => {
    const refused = diffLines(before, after);
    await expect(refused).rejects.toBeInstanceOf(SnapshotError);
    await expect(refused).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/^cannot write "(d\/)?\.wh\.a(\/b)?" into a layer: /),
    });
  });

  it("whites out a name of 255 bytes", async () => {
    const lower = memoryTree([{ path: "n".repeat(255) }, { path: "stays" }]);
    const tars = [await diffTar(memoryTree([]), lower), await diffTar(lower, memoryTree([{ path: "stays" }]))];
    expect((await mergeTars(tars)).entryCount).toBe(2);
  });

  it("writes a sparse file without its holes", async () => {
    const spec: MemoryTreeSpec = [
      { path: "a", content: { size: 2 ** 38, fill: 7 }, extents: [{ offset: 2 ** 37, length: 512 }] },
    ];
    const tree = await mergeTars([await diffTar(memoryTree([]), memoryTree(spec))]);
    const entry = await tree.lookup("a");
    expect(entry).toMatchObject({ size: 2 ** 38, extents: [{ offset: 2 ** 37, length: 512 }] });
    expect(await bytesOf(tree.read(entry!, { offset: 2 ** 37 - 1, length: 2 }))).toEqual(Buffer.from([0, 7]));
  });

  it("does not begin after an abort, and stops on the way", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const upper = memoryTree(Array.from({ length: 100 }, (_, index) => ({ path: `f${index}` })));
    const entries = diffTrees(memoryTree([]), upper, { signal });
    await entries.next();
    controller.abort(new Error("stop"));
    await expect(bytesOf(writeTar(entries))).rejects.toThrow("stop");
    await expect(diffTrees(memoryTree([]), upper, { signal }).next()).rejects.toThrow("stop");
  });
});
