import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Extent } from "../src/file-tree.js";
import type { Layer } from "../src/layer.js";
import { LayerFormatError } from "../src/errors.js";
import { mergeLayers } from "../src/merge/merge.js";
import { memoryLayer, memoryTree, type MemoryLayerSpec } from "../src/testing.js";
import { bytesOf, entriesOf, paths, textOf } from "./tree-listing.js";

const merge = (...layers: MemoryLayerSpec[]) => mergeLayers(layers.map(memoryLayer));

function fill(offset: number): number {
  return 1 + (offset % 255);
}

describe("a merged tree", () => {
  it("gives the root first, siblings in byte order, each subtree together", async () => {
    const tree = await merge(
      [{ path: "b/y" }, { path: "b\xff" }, { path: "b-" }, { path: "a" }],
      [{ path: "b/x" }, { path: "A" }],
    );
    expect((await entriesOf(tree))[0]).toMatchObject({ path: "", kind: "directory", inode: 0, links: 1 });
    expect(await paths(tree)).toEqual(["A", "a", "b", "b/x", "b/y", "b-", "b\xff"]);
    expect(tree.entryCount).toBe(8);
  });

  it("of no layers is an empty root", async () => {
    const tree = await mergeLayers([]);
    expect(await entriesOf(tree)).toMatchObject([{ path: "", mode: 0o755 }]);
  });

  it("may be listed by several at the same time", async () => {
    const tree = await merge([{ path: "a/b" }, { path: "c" }]);
    const [one, two] = await Promise.all([paths(tree), paths(tree)]);
    expect(one).toEqual(two);
  });

  it("looks up exactly a path, without following symlinks", async () => {
    const tree = await merge([
      { path: "d/f", content: "x" },
      { path: "l", linkTarget: "d" },
    ]);
    expect(await tree.lookup("")).toMatchObject({ path: "", kind: "directory" });
    expect(await tree.lookup("d/f")).toMatchObject({ path: "d/f", size: 1 });
    expect(await tree.lookup("l")).toMatchObject({ kind: "symlink", size: 1 });
    for (const absent of ["x", "d/f/x", "l/f", "/d", "d/", "d/../d"]) expect(await tree.lookup(absent)).toBeUndefined();
  });

  it("looks up what it lists", async () => {
    const tree = await merge([{ path: "a/b", hardlinkTo: "c" }, { path: "c" }].toReversed());
    for (const entry of await entriesOf(tree)) expect(await tree.lookup(entry.path)).toEqual(entry);
  });

  it("orders locality by layer, then by offset", async () => {
    const tree = await merge(
      [
        { path: "z", content: "12" },
        { path: "y", content: "345" },
      ],
      [{ path: "a", content: "6" }, { path: "b" }],
    );
    const files = (await entriesOf(tree))
      .filter((entry) => entry.kind === "file")
      .toSorted((a, b) => a.locality - b.locality);
    expect(files.map((entry) => entry.path)).toEqual(["z", "y", "a", "b"]);
  });
});

describe("reading from a merged tree", () => {
  it("gives each file's bytes from the layer that brought it", async () => {
    const tree = await merge(
      [
        { path: "f", content: "lower" },
        { path: "g", content: "old" },
      ],
      [{ path: "g", content: "newer" }],
    );
    expect(await textOf(tree, await tree.lookup("f"))).toBe("lower");
    expect(await textOf(tree, await tree.lookup("g"))).toBe("newer");
  });

  it("gives any range of a sparse file, holes as zeros", async () => {
    const parts = fc.array(fc.record({ hole: fc.nat(5), data: fc.nat(5) }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(parts, fc.nat(5), fc.nat(70), fc.nat(70), async (runs, tail, from, to) => {
        const extents: Extent[] = [];
        let end = 0;
        for (const { hole, data } of runs) {
          extents.push({ offset: end + hole, length: data });
          end += hole + data;
        }
        const size = end + tail;
        const tree = memoryTree([
          { path: "before", content: "???" },
          { path: "f", content: { size, fill }, extents },
        ]);
        const whole = Buffer.alloc(size);
        for (const { offset, length } of extents)
          for (let at = offset; at < offset + length; at++) whole[at] = fill(at);
        const entry = (await tree.lookup("f")) ?? expect.fail();
        const [offset, stop] = [Math.min(from, to, size), Math.min(Math.max(from, to), size)];
        expect(await bytesOf(tree.read(entry))).toEqual(whole);
        expect(await bytesOf(tree.read(entry, { offset, length: stop - offset }))).toEqual(
          whole.subarray(offset, stop),
        );
      }),
    );
  });

  it("reads the far end of a file of a terabyte", async () => {
    const size = 2 ** 40;
    const tree = memoryTree([
      {
        path: "huge",
        content: { size, fill: (offset: number) => offset / 2 ** 32 },
        extents: [{ offset: size - 4, length: 2 }],
      },
    ]);
    const entry = (await tree.lookup("huge")) ?? expect.fail();
    expect([...(await bytesOf(tree.read(entry, { offset: size - 6 })))]).toEqual([0, 0, 255, 255, 0, 0]);
  });

  it("refuses what is no file and what lies outside of it", async () => {
    const tree = await merge([{ path: "d/f", content: "abc" }]);
    const directory = (await tree.lookup("d")) ?? expect.fail();
    const file = (await tree.lookup("d/f")) ?? expect.fail();
    expect(() => tree.read(directory)).toThrow(TypeError);
    expect(() => tree.read(file, { offset: 4 })).toThrow(RangeError);
    expect(() => tree.read(file, { length: 4 })).toThrow(RangeError);
    expect(() => tree.read(file, { offset: -1 })).toThrow(RangeError);
    expect(await bytesOf(tree.read(file, { offset: 3 }))).toHaveLength(0);
  });

  it.each([
    ["short", [Uint8Array.of(1)], /gave fewer than 3 bytes/],
    ["long", [Uint8Array.of(1, 2), Uint8Array.of(3, 4)], /gave more than 3 bytes/],
  ])("names entry and layer when the contents are too %s", async (_, chunks, message) => {
    const layer: Layer = {
      ...memoryLayer([{ path: "f\n", content: "abc" }]),
      readContents: async function* () {
        yield* chunks;
      },
    };
    const tree = await mergeLayers([memoryLayer([]), layer]);
    const entry = (await tree.lookup("f\n")) ?? expect.fail();
    const failure: unknown = await bytesOf(tree.read(entry)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LayerFormatError);
    expect(failure).toMatchObject({ code: "archive_invalid", message: expect.stringMatching(message) });
    expect(failure).toMatchObject({
      message: expect.stringContaining(`cannot read "f\\n" of layer 1 (${layer.diffID})`),
    });
  });
});

describe("closing a merged tree", () => {
  it("closes each layer once and makes every call throw", async () => {
    let closings = 0;
    const layer: Layer = {
      ...memoryLayer([{ path: "f", content: "x" }]),
      [Symbol.asyncDispose]: async () => {
        closings++;
      },
    };
    const tree = await mergeLayers([layer, layer]);
    const entry = (await tree.lookup("f")) ?? expect.fail();
    await tree[Symbol.asyncDispose]();
    await tree[Symbol.asyncDispose]();
    expect(closings).toBe(1);
    await expect(tree.lookup("f")).rejects.toThrow("closed");
    await expect(entriesOf(tree)).rejects.toThrow("closed");
    expect(() => tree.read(entry)).toThrow("closed");
  });

  it("closes all layers even if one fails, and passes the failure on", async () => {
    const closed: string[] = [];
    const layer = (name: string): Layer => ({
      ...memoryLayer([]),
      [Symbol.asyncDispose]: async () => {
        closed.push(name);
        if (name === "a") throw new Error("stuck");
      },
    });
    const tree = await mergeLayers([layer("a"), layer("b")]);
    await expect(tree[Symbol.asyncDispose]()).rejects.toThrow("stuck");
    expect(closed).toEqual(["a", "b"]);
  });
});

describe("an aborted signal", () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);

  it("stops every call before it works", async () => {
    const tree = await merge([{ path: "f", content: "x" }]);
    const entry = (await tree.lookup("f")) ?? expect.fail();
    await expect(mergeLayers([], { signal })).rejects.toBe(reason);
    await expect(tree.lookup("f", { signal })).rejects.toBe(reason);
    await expect(bytesOf(tree.read(entry, { signal }))).rejects.toBe(reason);
    await expect(tree.entries({ signal })[Symbol.asyncIterator]().next()).rejects.toBe(reason);
  });

  it("stops a merge under way", async () => {
    const abort = new AbortController();
    const layer = memoryLayer(Array.from({ length: 100 }, (_, index) => ({ path: `f${index}` })));
    const merging = mergeLayers(
      Array.from({ length: 5000 }, () => layer),
      { signal: abort.signal },
    );
    setTimeout(() => abort.abort(reason), 1);
    await expect(merging).rejects.toBe(reason);
  });

  it("stops a read under way, in data and in holes", async () => {
    const tree = memoryTree([
      { path: "data", content: { size: 1e9, fill: 1 } },
      { path: "hole", content: { size: 1e9 }, extents: [] },
    ]);
    for (const path of ["data", "hole"]) {
      const abort = new AbortController();
      const entry = (await tree.lookup(path)) ?? expect.fail();
      const read = async () => {
        for await (const chunk of tree.read(entry, { signal: abort.signal })) if (chunk.length > 0) abort.abort(reason);
      };
      await expect(read()).rejects.toBe(reason);
    }
  });
});

describe("memoryTree()", () => {
  it("describes every kind of entry", async () => {
    const tree = memoryTree([
      { path: "", kind: "directory", mode: 0o711 },
      { path: "dev/null", kind: "char", mode: 0o666, device: { major: 1, minor: 3 } },
      {
        path: "f",
        content: Uint8Array.of(1, 2),
        mode: 0o4755,
        uid: 1,
        gid: 2,
        mtime: { seconds: -1, nanoseconds: 5 },
        xattrs: { "user.x": "y" },
      },
      { path: "g", hardlinkTo: "f" },
      { path: "l", linkTarget: "f" },
      { path: "p", kind: "fifo" },
      { path: "s", kind: "socket", mtime: 7 },
    ]);
    expect(await entriesOf(tree)).toMatchObject([
      { path: "", mode: 0o711 },
      { path: "dev", mode: 0o755 },
      { path: "dev/null", kind: "char", deviceMajor: 1, deviceMinor: 3, mode: 0o666 },
      {
        path: "f",
        size: 2,
        mode: 0o4755,
        uid: 1,
        gid: 2,
        mtimeSeconds: -1,
        mtimeNanoseconds: 5,
        xattrs: new Map([["user.x", Uint8Array.of(0x79)]]),
        links: 2,
      },
      { path: "g", size: 2, mode: 0o4755, links: 2 },
      { path: "l", kind: "symlink", size: 1, linkTarget: "f" },
      { path: "p", kind: "fifo" },
      { path: "s", kind: "socket", mtimeSeconds: 7 },
    ]);
  });

  it("refuses extents beyond the content", () => {
    expect(() => memoryTree([{ path: "f", content: "abc", extents: [{ offset: 2, length: 2 }] }])).toThrow(RangeError);
  });
});
