/** What stargz-snapshotter's layers are tested for (fs/layer, TestSuiteLayer), over the three ways to carry a table of contents. */
import { type Entry, mergeLayers, overlayTree } from "@lamella/layer-format";
import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import { memoryLayer } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { madeBytes } from "./memory-source.js";
import { type OpenMadeLayer, openMadeLayer, readFileOf } from "./open-made-layer.js";
import { scratchDirectory } from "./scratch.js";
import { LAYER_FORMS, makeLayer, type MakeLayerOptions } from "./toc-layers.js";

const directory = scratchDirectory();
const KIB = 1024;
/** Larger than what one request brings anyway. */
const LARGE = 300 * KIB;

describe.each(LAYER_FORMS)("a layer as %s", (form) => {
  async function open(spec: MemoryLayerSpec, options: MakeLayerOptions = {}): Promise<OpenMadeLayer> {
    const opened = await openMadeLayer(await makeLayer(form, spec, options), directory());
    opened.layer.skipVerify();
    return opened;
  }

  /** Bytes that were fetched by `act`, and the requests. */
  async function cost(
    { source }: OpenMadeLayer,
    act: () => Promise<unknown>,
  ): Promise<{ requests: number; bytes: number }> {
    const [requests, bytes] = [source.requests.length, source.servedBytes];
    await act();
    return { requests: source.requests.length - requests, bytes: source.servedBytes - bytes };
  }

  describe("prefetch", () => {
    const files: MemoryLayerSpec = [
      { path: "a", content: madeBytes(LARGE, 1) },
      { path: "d", kind: "directory" },
      { path: "d/b", content: madeBytes(LARGE, 2) },
      { path: "z", content: madeBytes(LARGE, 3) },
    ];

    it("brings nothing where the layer's maker wants nothing first", async () => {
      await using opened = await open(files);
      expect(await cost(opened, () => opened.layer.prefetch(LARGE))).toEqual({ requests: 0, bytes: 0 });
      expect(opened.layer.info().prefetchSize).toBe(0);
    });

    it.each([
      ["a file", ["a"]],
      ["a file in a directory", ["d/b"]],
    ])("brings %s that stands before the landmark, which is then read without a request", async (_name, wanted) => {
      await using opened = await open(files, { prioritizedFiles: wanted });
      const { bytes } = await cost(opened, () => opened.layer.prefetch(1));
      expect(bytes).toBeGreaterThan(LARGE - 1);
      expect(bytes).toBeLessThan(2 * LARGE);
      await opened.layer.waitForPrefetchCompletion();
      expect(opened.layer.info().prefetchSize).toBeGreaterThan(LARGE - 1);
      await using tree = await opened.layer.tree();
      expect(await cost(opened, () => readFileOf(tree, wanted[0] ?? ""))).toEqual({ requests: 0, bytes: 0 });
      const other = wanted[0] === "a" ? "d/b" : "a";
      expect((await cost(opened, () => readFileOf(tree, other))).requests).toBeGreaterThan(0);
    });

    it("brings files that share a member", async () => {
      const small: MemoryLayerSpec = Array.from({ length: 20 }, (_, index) => ({
        path: `small${index}`,
        content: madeBytes(10 * KIB, index),
      }));
      await using opened = await open([...small, ...files], {
        prioritizedFiles: small.map(({ path }) => path),
        minChunkSize: 100 * KIB,
      });
      await opened.layer.prefetch(1);
      await using tree = await opened.layer.tree();
      const reading = await cost(opened, async () => {
        // who goes forwards is read ahead for
        for (const [index, { path }] of [...small.entries()].toReversed()) {
          expect(await readFileOf(tree, path)).toEqual(Buffer.from(madeBytes(10 * KIB, index)));
        }
      });
      expect(reading).toEqual({ requests: 0, bytes: 0 });
    });

    it("brings files of several chunks", async () => {
      await using opened = await open(files, { prioritizedFiles: ["a"], chunkSize: 10 * KIB });
      await opened.layer.prefetch(1);
      await using tree = await opened.layer.tree();
      expect(await cost(opened, () => readFileOf(tree, "a"))).toEqual({ requests: 0, bytes: 0 });
    });

    it("brings as many bytes as are asked for where there is no landmark, and no more than there are", async () => {
      await using opened = await open(files, { hasLandmark: false });
      await opened.layer.prefetch(LARGE);
      expect(opened.layer.info().prefetchSize).toBe(LARGE);
      await opened.layer.prefetch(2 * LARGE);
      expect(opened.layer.info().prefetchSize).toBe(LARGE);
    });

    it("brings all of a layer that is smaller than what is asked for", async () => {
      await using opened = await open(files, { hasLandmark: false });
      await opened.layer.prefetch(1e9);
      expect(opened.layer.info()).toMatchObject({ prefetchSize: opened.source.descriptor.size });
      expect(opened.layer.info().fetchedSize).toBe(opened.source.descriptor.size);
    });
  });

  describe("reading a file in chunks of 1000 bytes", () => {
    const CHUNK = 1000;
    const sizes = [
      ["half a chunk", 500],
      ["a chunk and a half", 1500],
    ] as const;
    const inner = [
      ["at its beginning", 0],
      ["within it", 300],
    ] as const;
    const ends = [
      ["a whole chunk", 3 * CHUNK],
      ["a part of a chunk", 3 * CHUNK + 100],
      ["nearly a whole chunk", 4 * CHUNK - 1],
    ] as const;
    for (const [sizeName, length] of sizes)
      for (const [innerName, offset] of inner)
        for (const base of [0, 1, 2])
          for (const [endName, size] of ends)
            it(`gives ${sizeName} from chunk ${base}, ${innerName}, of a file that ends with ${endName}`, async () => {
              const content = madeBytes(size, 5);
              await using opened = await open(
                [
                  { path: "before", content: madeBytes(1234, 6) },
                  { path: "file", content },
                ],
                { chunkSize: CHUNK },
              );
              await using tree = await opened.layer.tree();
              const start = base * CHUNK + offset;
              const wanted = Math.min(length, size - start);
              const bytes = await readFileOf(tree, "file", start, wanted);
              expect(bytes.equals(content.subarray(start, start + wanted))).toBe(true);
            });
  });

  describe.each(["trusted", "user", "both"] as const)("as a layer of an overlay with xattrs of %s", (xattrs) => {
    const marks = xattrs === "both" ? ["trusted.overlay.opaque", "user.overlay.opaque"] : [`${xattrs}.overlay.opaque`];
    const below: MemoryLayerSpec = [
      { path: "d", kind: "directory" },
      { path: "d/gone", content: "gone" },
      { path: "d/other", content: "other" },
    ];

    async function nodes(spec: MemoryLayerSpec, options: MakeLayerOptions = {}): Promise<Map<string, Entry>> {
      await using opened = await open(spec, options);
      const found = new Map<string, Entry>();
      const tree = await overlayTree([memoryLayer(below)], opened.layer.layer(), { xattrs });
      for await (const entry of tree.entries()) found.set(entry.path, entry);
      return found;
    }

    it("shows a whiteout as a device 0:0, beside its siblings", async () => {
      const found = await nodes([
        { path: "d", kind: "directory" },
        { path: "d/gone", kind: "whiteout" },
        { path: "d/sibling", content: "here" },
      ]);
      expect([...found.keys()]).toEqual(["", "d", "d/gone", "d/sibling"]);
      expect(found.get("d/gone")).toMatchObject({ kind: "char", deviceMajor: 0, deviceMinor: 0 });
    });

    it("shows the file where the layer has a whiteout of the same name, too", async () => {
      const found = await nodes([
        { path: "d", kind: "directory" },
        { path: "d/gone", kind: "whiteout" },
        { path: "d/gone", content: "new" },
      ]);
      expect(found.get("d/gone")).toMatchObject({ kind: "file", size: 3 });
    });

    it("marks an opaque directory, with siblings and with xattrs of its own", async () => {
      const found = await nodes([
        { path: "d", kind: "directory", xattrs: { "user.own": "kept" } },
        { path: "d", kind: "opaque" },
        { path: "d/sibling", content: "here" },
      ]);
      expect([...found.keys()]).toEqual(["", "d", "d/sibling"]);
      const directory = found.get("d");
      for (const mark of marks) expect(Buffer.from(directory?.xattrs.get(mark) ?? []).toString()).toBe("y");
      expect(Buffer.from(directory?.xattrs.get("user.own") ?? []).toString()).toBe("kept");
    });

    it("marks an opaque directory that has nothing else", async () => {
      const found = await nodes([
        { path: "d", kind: "directory" },
        { path: "d", kind: "opaque" },
      ]);
      expect([...found.keys()]).toEqual(["", "d"]);
      expect([...(found.get("d")?.xattrs.keys() ?? [])].sort()).toEqual(marks);
    });

    it.each([
      ["prefetch", { prioritizedFiles: ["file"] }, ".prefetch.landmark"],
      ["no-prefetch", {}, ".no.prefetch.landmark"],
    ])("hides the %s landmark in the root, and only there", async (_name, options, landmark) => {
      const found = await nodes(
        [
          { path: "file", content: "file" },
          { path: "below", kind: "directory" },
          { path: `below/${landmark}`, content: "somebody's own" },
        ],
        options,
      );
      expect([...found.keys()]).toEqual(["", "below", `below/${landmark}`, "file"]);
    });
  });

  it("keeps setuid, setgid, sticky and the other attributes", async () => {
    await using opened = await open([
      { path: "suid", content: "1", mode: 0o4755 },
      { path: "sgid", content: "2", mode: 0o2755, uid: 1000, gid: 2000 },
      { path: "sticky", kind: "directory", mode: 0o1777 },
      { path: "device", kind: "block", device: { major: 8, minor: 1 }, mtime: 1_600_000_000 },
      { path: "fifo", kind: "fifo", xattrs: { "user.x": Uint8Array.of(0, 255) } },
    ]);
    await using tree = await opened.layer.tree();
    expect(await tree.lookup("suid")).toMatchObject({ kind: "file", mode: 0o4755 });
    expect(await tree.lookup("sgid")).toMatchObject({ mode: 0o2755, uid: 1000, gid: 2000 });
    expect(await tree.lookup("sticky")).toMatchObject({ kind: "directory", mode: 0o1777 });
    expect(await tree.lookup("device")).toMatchObject({
      kind: "block",
      deviceMajor: 8,
      deviceMinor: 1,
      mtimeSeconds: 1_600_000_000,
    });
    expect((await tree.lookup("fifo"))?.xattrs.get("user.x")).toEqual(Uint8Array.of(0, 255));
  });

  it("gives a symlink the size of its target, and hard links one inode", async () => {
    await using opened = await open([
      { path: "file", content: "content" },
      { path: "link", linkTarget: "some/where" },
      { path: "again", hardlinkTo: "file" },
    ]);
    await using tree = await opened.layer.tree();
    expect(await tree.lookup("link")).toMatchObject({ kind: "symlink", size: 10, linkTarget: "some/where" });
    expect((await tree.lookup("again"))?.inode).toBe((await tree.lookup("file"))?.inode);
    expect((await readFileOf(tree, "again")).toString()).toBe("content");
  });

  it("reads files that share a member, in any order, and empty ones", async () => {
    const files = Array.from({ length: 30 }, (_, index) => ({
      path: `f${index}`,
      content: madeBytes(index * 100, index),
    }));
    await using opened = await open(files, { minChunkSize: 10_000, chunkSize: 1000 });
    await using tree = await opened.layer.tree();
    for (const { path, content } of files.toReversed())
      expect((await readFileOf(tree, path)).equals(content)).toBe(true);
  });

  it("knows names with dots from ways upwards", async () => {
    const names = [".hidden", "..two", "...", "a.", "d/..b", "d/.wh"];
    await using opened = await open([
      { path: "d", kind: "directory" },
      ...names.map((path) => ({ path, content: path })),
    ]);
    await using tree = await mergeLayers([opened.layer.layer()]);
    for (const name of names) expect((await readFileOf(tree, name)).toString()).toBe(name);
  });

  it("is made an ordinary layer when it is complete", async () => {
    const made = await makeLayer(form, [
      { path: "a", content: madeBytes(LARGE, 1) },
      { path: "b", content: "b", mode: 0o4711 },
    ]);
    await using opened = await openMadeLayer(made, directory());
    const pushed: Uint8Array[] = [];
    await opened.layer.complete({
      async push(descriptor, content) {
        expect(descriptor).toEqual(opened.source.descriptor);
        for await (const chunk of content) pushed.push(new Uint8Array(chunk));
      },
    });
    expect(Buffer.concat(pushed).equals(made.bytes)).toBe(true);
    expect(opened.source.servedBytes).toBe(made.bytes.length);
  });
});
