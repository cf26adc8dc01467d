import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { mergeLayers } from "../src/merge/merge.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { listing, paths } from "./tree-listing.js";

const merge = (...layers: MemoryLayerSpec[]) => mergeLayers(layers.map(memoryLayer));
const whiteout = (path: string) => ({ path, kind: "whiteout" as const });
const opaque = (path: string) => ({ path, kind: "opaque" as const });

/** The same layer with its entries in both orders. */
function bothOrders(layer: MemoryLayerSpec): [string, MemoryLayerSpec][] {
  return [
    ["as given", layer],
    ["reversed", layer.toReversed()],
  ];
}

describe("a whiteout", () => {
  it("removes a file, a symlink itself, and a directory with all below", async () => {
    const lower: MemoryLayerSpec = [
      { path: "d/e/f" },
      { path: "f" },
      { path: "l", linkTarget: "/keep" },
      { path: "keep/x" },
    ];
    const tree = await merge(lower, [whiteout("d"), whiteout("f"), whiteout("l")]);
    expect(await paths(tree)).toEqual(["keep", "keep/x"]);
  });

  it("of nothing changes nothing", async () => {
    const tree = await merge([{ path: "a" }], [whiteout("b"), whiteout("no/such/x"), opaque("nor/this")]);
    expect(await paths(tree)).toEqual(["a"]);
  });

  it("reaches through a symlink of the image, not out of it", async () => {
    const tree = await merge(
      [{ path: "etc/x" }, { path: "etc/y" }, { path: "l", linkTarget: "../../etc" }],
      [whiteout("l/x")],
    );
    expect(await paths(tree)).toEqual(["etc", "etc/y", "l"]);
  });

  it("reaches through a symlink that its own layer brought before", async () => {
    const tree = await merge([{ path: "etc/x" }], [{ path: "l", linkTarget: "/etc" }, whiteout("l/x")]);
    expect(await paths(tree)).toEqual(["etc", "l"]);
  });

  it("below a file is refused", async () => {
    await expect(merge([{ path: "f" }], [whiteout("f/x")])).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it("of the root is refused", async () => {
    await expect(merge([{ path: "f" }], [whiteout("")])).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it.each(bothOrders([whiteout("x"), { path: "x", content: "new" }]))(
    "leaves what its own layer brings (%s)",
    async (_, upper) => {
      expect(await listing(await merge([{ path: "x", content: "old" }], upper))).toEqual([
        "/ directory 755",
        'x file 644 "new"',
      ]);
    },
  );

  it.each(bothOrders([whiteout("d"), { path: "d/new" }]))(
    "leaves a directory for what its layer put below, with implied attributes (%s)",
    async (_, upper) => {
      const tree = await merge([{ path: "d", kind: "directory", mode: 0o711, uid: 9 }, { path: "d/old" }], upper);
      expect(await listing(tree)).toEqual(["/ directory 755", "d directory 755", 'd/new file 644 ""']);
      expect((await tree.lookup("d"))?.uid).toBe(0);
    },
  );

  it.each(bothOrders([whiteout("d"), { path: "d", kind: "directory", mode: 0o750 }]))(
    "leaves the directory that its layer describes, without the old (%s)",
    async (_, upper) => {
      const tree = await merge([{ path: "d", kind: "directory", mode: 0o711 }, { path: "d/old/deep" }], upper);
      expect(await listing(tree)).toEqual(["/ directory 755", "d directory 750"]);
    },
  );

  it.each(bothOrders([whiteout("d/a"), whiteout("d")]))(
    "of a directory removes one in which another whiteout was (%s)",
    async (_, upper) => {
      expect(await paths(await merge([{ path: "d/a" }, { path: "d/b" }], upper))).toEqual([]);
    },
  );

  it("leaves a name that its layer links to a lower file", async () => {
    const tree = await merge(
      [{ path: "d/f", content: "x" }],
      [{ path: "d/g", kind: "hardlink", linkTarget: "d/f" }, whiteout("d/f"), whiteout("d/g")],
    );
    expect(await listing(tree)).toEqual(["/ directory 755", "d directory 755", 'd/g file 644 "x"']);
  });

  it("acts on what an earlier layer implied or described, in a chain of layers", async () => {
    const tree = await merge(
      [{ path: "a/b/c" }],
      [whiteout("a/b")],
      [{ path: "a/b/d" }],
      [whiteout("a")],
      [{ path: "z" }],
    );
    expect(await paths(tree)).toEqual(["z"]);
  });
});

describe("an opaque marker", () => {
  it.each(bothOrders([opaque("d"), { path: "d/new" }, { path: "d/sub/new" }]))(
    "hides what lower layers had, and only that (%s)",
    async (_, upper) => {
      const lower: MemoryLayerSpec = [
        { path: "d", kind: "directory", mode: 0o711 },
        { path: "d/old" },
        { path: "d/sub", kind: "directory", mode: 0o700 },
        { path: "d/sub/old" },
      ];
      expect(await listing(await merge(lower, upper))).toEqual([
        "/ directory 755",
        "d directory 711",
        'd/new file 644 ""',
        "d/sub directory 755",
        'd/sub/new file 644 ""',
      ]);
    },
  );

  it("at the root hides everything below", async () => {
    expect(await paths(await merge([{ path: "a" }, { path: "b/c" }], [{ path: "b/d" }, opaque("")]))).toEqual([
      "b",
      "b/d",
    ]);
  });

  it("in a directory that is only now made is accepted", async () => {
    expect(
      await paths(await merge([{ path: "a" }], [{ path: "d", kind: "directory" }, opaque("d"), { path: "d/x" }])),
    ).toEqual(["a", "d", "d/x"]);
  });

  it("through a symlink acts on the directory it leads to", async () => {
    expect(await paths(await merge([{ path: "l", linkTarget: "d" }, { path: "d/x" }], [opaque("l")]))).toEqual([
      "d",
      "l",
    ]);
  });

  it("repeated ten thousand times takes no longer for a large directory", async () => {
    const lower = memoryLayer(Array.from({ length: 1000 }, (_, index) => ({ path: `d/${index}` })));
    const upper = memoryLayer([
      ...Array.from({ length: 20_000 }, (_, index) => ({ path: `d/new${index}` })),
      opaque("d"),
    ]);
    const marker = upper.entries.slice(-1);
    const many = { ...upper, entries: [...upper.entries, ...Array.from({ length: 10_000 }, () => marker).flat()] };
    const start = performance.now();
    expect((await mergeLayers([lower, many])).entryCount).toBe(20_002);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("markers and entries of one layer", () => {
  const name = fc.constantFrom("a", "b", "a/c", "a/d", "a/c/e");
  const lower = fc.array(
    name.map((path) => ({ path, kind: "directory" as const, mode: 0o700 })),
    { maxLength: 5 },
  );
  const marker = fc.oneof(name.map(whiteout), fc.constantFrom("", "a", "a/c").map(opaque));
  const directories = fc.array(
    name.map((path) => ({ path, kind: "directory" as const, mode: 0o711 })),
    { maxLength: 4 },
  );

  it("give the same tree in any order", async () => {
    const shuffled = fc
      .tuple(fc.array(marker, { maxLength: 4 }), directories)
      .chain(([markers, entries]) =>
        fc.tuple(
          fc.constant([...markers, ...entries]),
          fc.shuffledSubarray([...markers, ...entries], { minLength: markers.length + entries.length }),
        ),
      );
    await fc.assert(
      fc.asyncProperty(lower, shuffled, async (below, [given, other]) => {
        expect(await listing(await merge(below, other))).toEqual(await listing(await merge(below, given)));
      }),
      { numRuns: 500 },
    );
  });
});
