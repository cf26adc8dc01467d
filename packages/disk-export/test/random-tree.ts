import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";

type Described = Extract<MemoryTreeSpec[number], { kind?: unknown }>;

interface Node {
  attributes: Pick<Described, "mode" | "uid" | "gid" | "mtime" | "xattrs">;
  what:
    | { kind: "directory"; children: [string, Node][] }
    | { kind: "file"; size: number; seed: number; hole: boolean; otherName: string | undefined }
    | { kind: "symlink"; linkTarget: string }
    | { kind: "char" | "block"; device: { major: number; minor: number } }
    | { kind: "fifo" | "socket" };
}

/** Any bytes but `/` and NUL, most often a few letters. */
const name = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "-", ".", "~"), minLength: 1, maxLength: 6 }) },
    { weight: 2, arbitrary: bytes(1, 20) },
    { weight: 1, arbitrary: bytes(240, 255) },
  )
  .filter((text) => text !== "." && text !== "..");

/** Around the borders of a 4 KiB block, and of one that begins with an inode. */
const size = fc.oneof(
  fc.constantFrom(0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 8193),
  fc.integer({ min: 0, max: 20_000 }),
);

const xattrName = fc.oneof(
  fc.constantFrom("security.capability", "trusted.t", "user.u"),
  bytes(1, 30).map((suffix) => `user.${suffix}`),
);

/** One that gives somebody rights. */
const acl = fc.nat(0xfffffffe).map((id) => {
  const entries = Buffer.from(
    "0200000001000700ffffffff020005000000000004000500ffffffff10000700ffffffff20000500ffffffff",
    "hex",
  );
  entries.writeUInt32LE(id, 16);
  return new Uint8Array(entries);
});

const xattrs = fc
  .tuple(
    fc.dictionary(xattrName, fc.uint8Array({ maxLength: 300 }), { maxKeys: 20, noNullPrototype: true }),
    fc.record({ "system.posix_acl_access": acl, "system.posix_acl_default": acl }, { requiredKeys: [] }),
  )
  .map(([others, acls]) => ({ ...others, ...acls }));

const attributes = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 0xfffffffe }),
  gid: fc.integer({ min: 0, max: 0xfffffffe }),
  mtime: fc.record({
    seconds: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  xattrs: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: xattrs }),
});

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    attributes,
    what: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.record({
        kind: fc.constant("file" as const),
        size,
        seed: fc.nat(255),
        hole: fc.boolean(),
        otherName: fc.option(name, { nil: undefined, freq: 4 }),
      }),
      fc.record({ kind: fc.constant("symlink" as const), linkTarget: fc.oneof(bytes(1, 100), bytes(3900, 4095)) }),
      fc.record({
        kind: fc.constantFrom("char" as const, "block" as const),
        device: fc.record({ major: fc.nat(0xfff), minor: fc.nat(0xfffff) }),
      }),
      fc.record({ kind: fc.constantFrom("fifo" as const, "socket" as const) }),
      fc.record({ kind: fc.constant("directory" as const), children: children(tie("node"), 8) }),
      fc.record({ kind: fc.constant("directory" as const), children: children(tie("node"), 60) }),
    ),
  }),
}));

/** Trees of every kind of entry, for `memoryTree`. */
export const treeSpecs: fc.Arbitrary<MemoryTreeSpec> = fc
  .record({ root: attributes, children: children(node, 30) })
  .map(({ root, children: nodes }) => [
    { path: "", kind: "directory" as const, ...root },
    ...nodes.flatMap(([child, it]) => describe(child, it)),
  ]);

function children(of: fc.Arbitrary<Node>, maxLength: number): fc.Arbitrary<[string, Node][]> {
  return fc.uniqueArray(fc.tuple(name, of), { selector: ([key]) => key, maxLength });
}

function describe(path: string, { attributes: common, what }: Node): MemoryTreeSpec {
  if (what.kind === "directory") {
    const below = what.children.flatMap(([child, it]) => describe(`${path}/${child}`, it));
    return [{ path, kind: what.kind, ...common }, ...below];
  }
  if (what.kind !== "file") return [{ path, ...what, ...common }];
  const { size: length, seed, hole, otherName } = what;
  const content = { size: length, fill: (offset: number) => offset * 7 + seed };
  const third = Math.floor(length / 3);
  const extents = [
    { offset: 0, length: third },
    { offset: 2 * third, length: length - 2 * third },
  ];
  const file = { path, content, ...common, ...(hole && third > 0 ? { extents } : {}) };
  // A name of its own directory, so that no other node has it.
  return otherName === undefined
    ? [file]
    : [file, { path: `links to ${path.replaceAll("/", "_").slice(0, 200)}/${otherName}`, hardlinkTo: path }];
}

function bytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f);
  return fc.array(byte, { minLength, maxLength }).map((codes) => String.fromCharCode(...codes));
}
