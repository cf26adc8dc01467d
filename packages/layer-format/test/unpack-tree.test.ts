import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { FileTree } from "../src/file-tree.js";
import { openDirectoryTree } from "../src/node/directory/directory-tree.js";
import { unpackTree } from "../src/node/unpack/unpack-tree.js";
import { memoryTree, type MemoryTreeSpec } from "../src/testing.js";
import { compareTrees } from "../src/tree-comparison.js";
import { entriesOf } from "./tree-listing.js";
import { treeSpecs } from "./tree-specs.js";

const isRoot = process.getuid?.() === 0;
const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

describe("unpackTree()", () => {
  let work = "";
  let target = "";

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "unpack-tree-"));
    target = join(work, "out");
  });
  afterEach(() => {
    // What a test has made may be closed even to its owner.
    execFileSync("chmod", ["-R", "u+rwX", work]);
    execFileSync("rm", ["-rf", work]);
  });

  /** A line for everything in which the directory is not the tree. */
  async function differences(tree: FileTree): Promise<string[]> {
    await using made = await openDirectoryTree(target, { xattrs: true });
    const lines: string[] = [];
    for await (const difference of compareTrees(tree, made)) {
      const { change, entry } = difference;
      lines.push(`${change} ${entry.path}${change === "changed" ? `: ${difference.aspects.join()}` : ""}`);
    }
    return lines;
  }

  it("makes a directory that is the tree again", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs({ asRoot: isRoot }), async (spec) => {
        const tree = memoryTree(spec);
        const { entries, losses } = await unpackTree(tree, target);
        expect(losses).toEqual([]);
        expect(entries).toBe(tree.entryCount);
        expect(await differences(tree)).toEqual([]);
        execFileSync("rm", ["-rf", target]);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it("keeps names that a layer takes for markers, and the longest there are", async () => {
    const deep = Array.from({ length: 15 }, (_, index) => String(index).padStart(250, "x")).join("/");
    const tree = memoryTree([
      { path: ".wh.a", content: "1", ...own },
      { path: "d/.wh..wh..opq", ...own },
      { path: "\xff".repeat(255), ...own },
      { path: deep, content: "2", ...own },
    ]);
    const { entries, bytes } = await unpackTree(tree, target);
    expect({ entries, bytes }).toEqual({ entries: 20, bytes: 2 });
    const found = execFileSync("find", [".", "-type", "f", "-printf", "%P\\n"], { cwd: target, encoding: "latin1" });
    const expected = [".wh.a", "d/.wh..wh..opq", deep, "\xff".repeat(255)];
    expect(expected.map((name) => found.includes(`${name}\n`))).toEqual([true, true, true, true]);
  });

  it("keeps holes as holes", async () => {
    const size = 1 << 30;
    const extents = [{ offset: 1 << 20, length: 1 }];
    await unpackTree(memoryTree([{ path: "a", content: { size, fill: 7 }, extents }]), target);
    const { size: made, blocks } = statSync(join(target, "a"));
    expect(made).toBe(size);
    expect(blocks).toBeLessThan(100);
  });

  it("gives a new file its setuid bit, and the whole mode whatever the umask", async () => {
    await unpackTree(memoryTree([{ path: "a", mode: 0o4777, ...own }]), target, { asRoot: false });
    expect(statSync(join(target, "a")).mode & 0o7777).toBe(0o4777);
    expect(statSync(target).mode & 0o7777).toBe(0o755);
  });

  it("leaves out sockets, and for an ordinary user what only root can make, and says so", async () => {
    const tree = memoryTree([
      { path: "", kind: "directory", ...own },
      { path: "c", kind: "char", device: { major: 1, minor: 3 }, ...own },
      { path: "n", kind: "char", device: { major: 0, minor: 0 }, mode: 0, ...own },
      { path: "o", uid: own.uid + 1, gid: own.gid, mode: 0o4711 },
      { path: "s", kind: "socket", ...own },
      { path: "s2", hardlinkTo: "s" },
      { path: "x", xattrs: { "trusted.t": "1", "security.capability": "2" }, ...own },
    ]);
    const { entries, losses } = await unpackTree(tree, target, { asRoot: false });
    expect(entries).toBe(4);
    expect(losses).toEqual([
      { what: "devices, which only root can make", count: 1, paths: ["c"] },
      { what: "owners, which only root can set", count: 1, paths: ["o"] },
      { what: "sockets", count: 2, paths: ["s", "s2"] },
      { what: "extended attributes, which only root can set", count: 1, paths: ["x"] },
    ]);
    expect(readdirSync(target)).toEqual(["n", "o", "x"]);
    expect(statSync(join(target, "o"))).toMatchObject({ uid: own.uid, mode: 0o104711 });
  });

  it("counts the extended attributes that the file system refuses", async () => {
    const xattrs = { "unheard-of.a": "1" };
    const tree = memoryTree([
      { path: "", kind: "directory", ...own },
      { path: "a\n", xattrs, ...own },
      { path: "b", xattrs, ...own },
    ]);
    const { losses } = await unpackTree(tree, target, { asRoot: true });
    const what = "extended attributes (Operation not supported)";
    expect(losses).toEqual([{ what, count: 2, paths: ["a\n", "b"] }]);
  });

  it("makes the directories that lead to it, and takes an empty one", async () => {
    const tree = memoryTree([{ path: "a", content: "1", ...own }]);
    await unpackTree(tree, join(target, "b/c"));
    expect(readdirSync(join(target, "b/c"))).toEqual(["a"]);
    mkdirSync(join(work, "empty"));
    await unpackTree(tree, join(work, "empty"), { durable: true });
    expect(readdirSync(join(work, "empty"))).toEqual(["a"]);
  });

  it("refuses a directory that is not empty, which stays as it is", async () => {
    mkdirSync(target);
    writeFileSync(join(target, "mine"), "");
    await expect(unpackTree(memoryTree([{ path: "a" }]), target)).rejects.toMatchObject({
      code: "output_invalid",
      message: `cannot unpack into ${JSON.stringify(target)}: it is not empty`,
    });
    expect(readdirSync(target)).toEqual(["mine"]);
  });

  it("lays a tree over what is there, if asked to, and never through a symlink", async () => {
    mkdirSync(join(work, "outside"));
    mkdirSync(join(target, "d"), { recursive: true });
    writeFileSync(join(target, "a"), "old");
    writeFileSync(join(target, "d/kept"), "");
    symlinkSync(join(work, "outside"), join(target, "l"));
    const tree = memoryTree([
      { path: "a", content: "new", ...own },
      { path: "d/b", ...own },
      { path: "l/x", ...own },
    ]);
    await unpackTree(tree, target, { into: "existing", asRoot: false });
    const made = (await entriesOf(await openDirectoryTree(target))).map(({ path, kind }) => `${kind} ${path}`);
    expect(made).toEqual(["directory ", "file a", "directory d", "file d/b", "file d/kept", "directory l", "file l/x"]);
    expect(readdirSync(join(work, "outside"))).toEqual([]);
  });

  it.each<[string, Parameters<typeof forged>[0], string]>([
    ["leaves the directory", ["", "../a"], 'cannot unpack "../a": its parent is no directory that came before'],
    ["goes through a symlink", ["", "l@", "l/a"], 'cannot unpack "l/a": its parent is no directory that came before'],
    ["has a path twice", ["", "a", "a"], 'cannot unpack "a": it is out of order'],
    ["has a name of dots", ["", ".."], 'cannot unpack "..": it is no place in a tree'],
    ["is absolute", ["", "/a"], 'cannot unpack "/a": it is no place in a tree'],
    ["has no root", ["a"], 'cannot unpack "a": its parent is no directory that came before'],
    ["has a NUL in a name", ["", "a\0b"], 'cannot unpack "a\\x00b": it is no place in a tree'],
  ])("refuses a tree that %s", async (_, names, message) => {
    await expect(unpackTree(forged(names), target)).rejects.toMatchObject({ code: "unpack_failed", message });
    expect(existsSync(target)).toBe(false);
  });

  /** A tree that breaks its contract. */
  function forged(names: readonly string[]): FileTree {
    const model = memoryTree([{ path: "a" }, { path: "l", linkTarget: "/tmp" }]);
    const tree: Pick<FileTree, "entries"> = {
      async *entries() {
        const [root, file, link] = await entriesOf(model);
        for (const name of names) {
          if (name === "") yield root!;
          else yield { ...(name.endsWith("@") ? link! : file!), path: name.replace("@", "") };
        }
      },
    };
    return Object.assign(Object.create(model) as FileTree, tree);
  }

  it("refuses paths that no Linux can name", async () => {
    const spec: MemoryTreeSpec = [{ path: Array.from({ length: 16 }, () => "x".repeat(255)).join("/") }];
    await expect(unpackTree(memoryTree(spec), target)).resolves.toBeDefined();
    const tree = forged(["", "y".repeat(256)]);
    await expect(unpackTree(tree, join(work, "2"))).rejects.toMatchObject({
      code: "unpack_failed",
      message: expect.stringContaining("a name of 256 bytes is over Linux' limit of 255"),
    });
  });

  it("has tar's own words where tar fails, and leaves nothing", async () => {
    mkdirSync(target);
    const failing = memoryTree([{ path: "a", xattrs: { "user.u": "1" }, content: { size: 1 << 20 }, uid: 77 }]);
    // A directory where a file shall be, which tar does not remove.
    mkdirSync(join(target, "a/b"), { recursive: true });
    await expect(unpackTree(failing, target, { into: "existing" })).rejects.toMatchObject({
      code: "unpack_failed",
      message: expect.stringMatching(/^cannot unpack into ".*": tar: a: Cannot open: (Is a directory|File exists)/),
    });
  });

  it("leaves nothing where reading the tree fails", async () => {
    const failure = new Error("the disk is gone");
    const model = memoryTree([
      { path: "a", content: "1" },
      { path: "b", content: { size: 1 << 22 } },
    ]);
    const read: FileTree["read"] = async function* (entry, options) {
      if (entry.path === "b") throw failure;
      yield* model.read(entry, options);
    };
    const tree: FileTree = Object.assign(Object.create(model) as FileTree, {
      entries: model.entries.bind(model),
      read,
    });
    await expect(unpackTree(tree, join(target, "x"))).rejects.toBe(failure);
    expect(existsSync(target)).toBe(false);
  });

  it("stops tar at an abort and leaves nothing", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const spec = Array.from({ length: 50 }, (_, index) => ({
      path: `d${10 + index}/a`,
      content: { size: 1 << 20, fill: 1 },
      ...own,
    }));
    const onProgress = vi.fn((done: number) => {
      if (done > 10 << 20) controller.abort(reason);
    });
    mkdirSync(target);
    const unpacking = unpackTree(memoryTree(spec), target, { signal: controller.signal, onProgress });
    await expect(unpacking).rejects.toBe(reason);
    expect(onProgress.mock.lastCall?.[0]).toBeLessThan(50 << 20);
    expect(readdirSync(target)).toEqual([]);
    await expect(unpackTree(memoryTree(spec), target, { signal: controller.signal })).rejects.toBe(reason);
  });

  it("tells how far it is", async () => {
    const calls: number[][] = [];
    const size = 600 << 10;
    const spec = ["a", "b", "c"].map((path) => ({ path, content: { size }, ...own }));
    const tree = memoryTree([...spec, { path: "d", hardlinkTo: "a" }]);
    await unpackTree(tree, target, { onProgress: (...progress) => void calls.push(progress) });
    expect(calls).toEqual([
      [2 * size, 3 * size],
      [3 * size, 3 * size],
    ]);
  });

  it("names the program that is missing", async () => {
    vi.stubEnv("PATH", work);
    try {
      await expect(unpackTree(memoryTree([]), target)).rejects.toMatchObject({
        code: "tool_missing",
        message: "cannot run tar: it is not installed (package tar)",
      });
    } finally {
      vi.unstubAllEnvs();
    }
    expect(existsSync(target)).toBe(false);
  });
});
