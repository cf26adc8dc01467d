import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Layer, LayerEntry } from "../src/layer.js";
import { mergeLayers } from "../src/merge/merge.js";
import { IndexBuilder } from "../src/node/archive/builder.js";
import { ContentHasher, layerHash } from "../src/node/archive/hash.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { entriesOf, textOf } from "./tree-listing.js";

async function hashOf(layer: Layer): Promise<string> {
  const builder = new IndexBuilder();
  const hasher = new ContentHasher(builder);
  for (const entry of layer.entries) {
    hasher.begin(builder.add(entry), entry);
    const bytes = entry.extents?.reduce((sum, { length }) => sum + length, 0) ?? entry.size;
    if (entry.kind !== "file") continue;
    for await (const chunk of layer.readContents(entry.contentOffset, bytes)) hasher.update(chunk);
  }
  return layerHash(builder, builder.canonicalOrder());
}

const hashOfSpec = (spec: MemoryLayerSpec): Promise<string> => hashOf(memoryLayer(spec));

type Spec = MemoryLayerSpec[number];

const TREE: readonly Spec[] = [
  { path: "a", kind: "directory" },
  { path: "a/b", kind: "directory", mode: 0o700 },
  { path: "a/b/f", content: "one" },
  { path: "a/b/g", content: "two", xattrs: { "user.x": "1", "user.y": "2" } },
  { path: "a-b", linkTarget: "a/b" },
  { path: "a/gone", kind: "whiteout" },
  { path: "a/b", kind: "opaque" },
  { path: "h", kind: "hardlink", linkTarget: "a/b/f" },
  { path: "dev", kind: "char", device: { major: 1, minor: 3 } },
  { path: "sparse", content: "0123456789", extents: [{ offset: 2, length: 3 }] },
];

/** Moves entries as far as those that they need let them. */
function shuffled(spec: readonly Spec[], picks: readonly number[]): Spec[] {
  const left = [...spec];
  const order: Spec[] = [];
  const isReady = (each: Spec): boolean => {
    const parent = each.path.slice(0, Math.max(0, each.path.lastIndexOf("/")));
    const needs = [parent, "linkTarget" in each && each.kind === "hardlink" ? each.linkTarget : ""];
    if ("kind" in each && each.kind === "opaque") needs.push(each.path);
    return !left.some((other) => other !== each && needs.includes(other.path) && !isMarker(other));
  };
  for (let turn = 0; left.length > 0; turn++) {
    const ready = left.filter(isReady);
    const [next] = ready.slice((picks[turn] ?? 0) % ready.length);
    order.push(next as Spec);
    left.splice(left.indexOf(next as Spec), 1);
  }
  return order;
}

const isMarker = (each: Spec): boolean => "kind" in each && (each.kind === "opaque" || each.kind === "whiteout");

describe("the layer hash", () => {
  it("is a fixed one, so that a change of its definition is seen", async () => {
    expect(await hashOfSpec(TREE)).toMatchInlineSnapshot(
      `"sha256:99c9d9ff7f2e2f0d59930ee0500e761e069bc37e412a8d843bfc90682eab7c3d"`,
    );
    expect(await hashOfSpec([])).toMatchInlineSnapshot(
      `"sha256:5642ef4c2d109313d2dcb901a55f23cfec359f20db71fe646c9e0507e59fc4a5"`,
    );
  });

  it("is the same in every order of entries that do not depend on each other", async () => {
    const expected = await hashOfSpec(TREE);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { minLength: TREE.length, maxLength: TREE.length }), async (picks) => {
        expect(await hashOfSpec(shuffled(TREE, picks))).toBe(expected);
      }),
    );
  });

  it("is the same in every order of an entry's xattrs", async () => {
    const one = { path: "f", xattrs: { "user.a": "1", "user.b": "2", "user.ab": "" } };
    const other = { path: "f", xattrs: { "user.b": "2", "user.ab": "", "user.a": "1" } };
    expect(await hashOfSpec([one])).toBe(await hashOfSpec([other]));
  });

  const file: LayerEntry = { ...(memoryLayer([{ path: "f", content: "x" }]).entries[0] as LayerEntry) };
  const changes: [string, Partial<LayerEntry>][] = [
    ["path", { path: "g" }],
    ["kind", { kind: "directory" }],
    ["mode", { mode: 0o4644 }],
    ["uid", { uid: 1 }],
    ["gid", { gid: 1 }],
    ["mtime", { mtimeSeconds: 1 }],
    ["a mtime before 1970", { mtimeSeconds: -1 }],
    ["nanoseconds", { mtimeNanoseconds: 1 }],
    ["an xattr", { xattrs: new Map([["user.a", Uint8Array.of(1)]]) }],
    ["another xattr's name", { xattrs: new Map([["user.b", Uint8Array.of(1)]]) }],
    ["an xattr's value", { xattrs: new Map([["user.a", Uint8Array.of(2)]]) }],
    ["an xattr whose name ends later", { xattrs: new Map([["user.a\u0001", new Uint8Array()]]) }],
    [
      "two xattrs",
      {
        xattrs: new Map([
          ["user.a", new Uint8Array()],
          ["\u0001", new Uint8Array()],
        ]),
      },
    ],
    ["extents", { extents: [{ offset: 0, length: 1 }] }],
    ["extents with a hole", { size: 2, extents: [{ offset: 0, length: 1 }] }],
    ["extents elsewhere", { size: 2, extents: [{ offset: 1, length: 1 }] }],
    ["a symlink", { kind: "symlink", linkTarget: "x" }],
    ["a symlink's target", { kind: "symlink", linkTarget: "y" }],
    ["a hard link", { kind: "hardlink", linkTarget: "x" }],
    ["a device", { kind: "char" }],
    ["a device's major number", { kind: "char", deviceMajor: 1 }],
    ["a device's minor number", { kind: "char", deviceMinor: 1 }],
    ["a block device", { kind: "block" }],
    ["a whiteout", { kind: "whiteout" }],
    ["an opaque marker", { kind: "opaque" }],
  ];

  it("is another one for each change of one field", async () => {
    const contents = memoryLayer([{ path: "f", content: "x" }]);
    const hashes = [await hashOf(contents)];
    for (const [, change] of changes) hashes.push(await hashOf({ ...contents, entries: [{ ...file, ...change }] }));
    hashes.push(await hashOfSpec([{ path: "f", content: "y" }]), await hashOfSpec([{ path: "f", content: "" }]));
    hashes.push(await hashOfSpec([{ path: "f", content: "xx" }]), await hashOfSpec([]));
    expect(new Set(hashes).size).toBe(changes.length + 5);
  });

  it("is not deceived by fields that run together in another way", async () => {
    const pairs: [MemoryLayerSpec, MemoryLayerSpec][] = [
      [[{ path: "a", linkTarget: "bc" }], [{ path: "ab", linkTarget: "c" }]],
      [
        [
          { path: "a", content: "b" },
          { path: "c", content: "" },
        ],
        [
          { path: "a", content: "" },
          { path: "c", content: "b" },
        ],
      ],
      [[{ path: "f", xattrs: { a: "bc" } }], [{ path: "f", xattrs: { ab: "c" } }]],
      [
        [{ path: "f", xattrs: { a: "b" } }, { path: "g" }],
        [{ path: "f" }, { path: "g", xattrs: { a: "b" } }],
      ],
      [[{ path: "a" }, { path: "b" }], [{ path: "ab" }]],
    ];
    for (const [one, other] of pairs) expect(await hashOfSpec(one)).not.toBe(await hashOfSpec(other));
  });

  it.each<[string, Spec[]]>([
    [
      "a path that comes twice",
      [
        { path: "f", content: "1" },
        { path: "f", content: "2" },
      ],
    ],
    ["a hard link and its target", [{ path: "f" }, { path: "g", kind: "hardlink", linkTarget: "f" }]],
    ["a directory and what is in it", [{ path: "d", kind: "directory" }, { path: "d/f" }]],
    ["a symlink and what goes through it", [{ path: "d", linkTarget: "e" }, { path: "d/f" }]],
    [
      "names that a lower symlink may bring together",
      [
        { path: "d/f", content: "1" },
        { path: "e/f", content: "2" },
      ],
    ],
    [
      "an opaque marker and its directory",
      [
        { path: "d", kind: "directory" },
        { path: "d", kind: "opaque" },
      ],
    ],
    [
      "two hard links that say different things",
      [
        { path: "f" },
        { path: "g", kind: "hardlink", linkTarget: "f", mode: 0o600 },
        { path: "h", kind: "hardlink", linkTarget: "f", mode: 0o400 },
      ],
    ],
  ])("is another one in the other order of %s", async (_, spec) => {
    const [first, ...rest] = spec as [Spec, ...Spec[]];
    const other = spec.length === 2 ? [...rest, first] : [first, ...rest.toReversed()];
    expect(await hashOfSpec(other)).not.toBe(await hashOfSpec(spec));
  });

  it("is never the same for layers that make different trees, whatever lies below", async () => {
    const path = fc.constantFrom("a", "b", "a/f", "b/f", "a/d", "a/d/f");
    const statement: fc.Arbitrary<Spec> = fc.oneof(
      fc.record({ path, kind: fc.constant("directory" as const), mode: fc.constantFrom(0o755, 0o700) }),
      fc.record({ path, content: fc.constantFrom("1", "2") }),
      fc.record({ path, linkTarget: fc.constantFrom("a", "/b", "f") }),
      fc.record({ path, kind: fc.constantFrom("whiteout" as const, "opaque" as const) }),
      fc.record({
        path,
        kind: fc.constant("hardlink" as const),
        linkTarget: fc.constantFrom("a/f", "b/f", "b"),
        mode: fc.constantFrom(0o644, 0o600),
      }),
    );
    const anchors: Spec[] = ["a", "b", "a/d"].map((each) => ({ path: each, kind: "directory" }));
    const spec = fc.tuple(fc.subarray(anchors), fc.array(statement, { maxLength: 6 })).map((parts) => parts.flat());
    let same = 0;
    await fc.assert(
      fc.asyncProperty(
        spec.chain((one) => fc.tuple(fc.constant(one), fc.shuffledSubarray(one, { minLength: one.length }))),
        async ([one, other]) => {
          if ((await hashOfSpec(one)) !== (await hashOfSpec(other))) return;
          same++;
          for (const base of BASES) expect(await treeOf(base, other)).toEqual(await treeOf(base, one));
        },
      ),
      { numRuns: 1000 },
    );
    expect(same).toBeGreaterThan(100);
  });
});

const BASES: readonly MemoryLayerSpec[] = [
  [],
  [
    { path: "a", linkTarget: "b" },
    { path: "b", kind: "directory" },
    { path: "b/f", content: "below" },
    { path: "b/d/f", content: "below" },
  ],
  [
    { path: "a/f", content: "below" },
    { path: "a/d/f", content: "below" },
    { path: "b", linkTarget: "a" },
  ],
  [
    { path: "a/d", linkTarget: "/b" },
    { path: "b/f", content: "below" },
  ],
];

/** What a stack shows, or why it is refused. */
async function treeOf(base: MemoryLayerSpec, top: MemoryLayerSpec): Promise<string[]> {
  try {
    await using tree = await mergeLayers([memoryLayer(base), memoryLayer(top)]);
    const lines: string[] = [];
    for (const entry of await entriesOf(tree)) {
      const { path, kind, mode, linkTarget, links } = entry;
      const text = kind === "file" ? await textOf(tree, entry) : "";
      lines.push(`${path} ${kind} ${mode} ${linkTarget} ${links} ${text}`);
    }
    return lines;
  } catch (error) {
    // Which of several faults is met first depends on the order.
    return [`refused: ${(error as { code: string }).code}`];
  }
}
