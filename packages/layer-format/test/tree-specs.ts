import * as fc from "fast-check";

import type { MemoryTreeSpec } from "../src/testing.js";

type Described = Extract<MemoryTreeSpec[number], { kind?: unknown }>;
type Attributes = Pick<Described, "mode" | "uid" | "gid" | "mtime" | "xattrs">;

interface Node {
  readonly attributes: Attributes;
  readonly what:
    | { kind: "directory"; children: [string, Node][] }
    | { kind: "file"; size: number; hole: boolean; isLinked: boolean }
    | { kind: "symlink"; linkTarget: string }
    | { kind: "char" | "block"; device: { major: number; minor: number } }
    | { kind: "fifo" };
}

const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f);

function bytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.array(byte, { minLength, maxLength }).map((codes) => String.fromCharCode(...codes));
}

const name = fc
  .oneof(
    {
      weight: 3,
      arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "-", ".", "\\", "\n"), minLength: 1, maxLength: 6 }),
    },
    { weight: 2, arbitrary: bytes(1, 20) },
    { weight: 1, arbitrary: bytes(200, 255) },
  )
  .filter((text) => text !== "." && text !== "..");

const userXattrs = fc.dictionary(
  bytes(1, 30).map((suffix) => `user.${suffix}`),
  fc.uint8Array({ maxLength: 100 }),
  { maxKeys: 3, noNullPrototype: true },
);

/** Trees that a directory of this process can hold to the last bit. */
export function treeSpecs({ asRoot }: { asRoot: boolean }): fc.Arbitrary<MemoryTreeSpec> {
  const owner = (id: number): fc.Arbitrary<number> => (asRoot ? fc.constantFrom(0, 7, 3_000_000) : fc.constant(id));
  const attributes: fc.Arbitrary<Attributes> = fc.record({
    // What its owner cannot read could not be read back.
    mode: fc.nat(0o7777).map((mode) => mode | 0o700),
    uid: owner(process.getuid?.() ?? 0),
    gid: owner(process.getgid?.() ?? 0),
    mtime: fc.record({
      // at the very first second that a file system knows, the kernel drops the nanoseconds
      seconds: fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 33 }),
      nanoseconds: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    }),
  });
  const described = fc.tuple(attributes, fc.oneof(fc.constant({}), userXattrs));
  const devices = fc.record({
    kind: fc.constantFrom("char" as const, "block" as const),
    device: fc.record({ major: fc.nat(4095), minor: fc.nat(262_143) }),
  });
  const { node } = fc.letrec<{ node: Node }>((tie) => ({
    node: fc
      .tuple(
        described,
        fc.oneof(
          { depthSize: "small", withCrossShrink: true },
          fc.record({
            kind: fc.constant("file" as const),
            size: fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 20_000 })),
            hole: fc.boolean(),
            isLinked: fc.boolean(),
          }),
          fc.record({ kind: fc.constant("symlink" as const), linkTarget: fc.oneof(bytes(1, 100), bytes(3900, 4095)) }),
          fc.record({ kind: fc.constant("fifo" as const) }),
          ...(asRoot ? [devices] : []),
          fc.record({ kind: fc.constant("directory" as const), children: children(tie("node"), 6) }),
        ),
      )
      .map(([[common, xattrs], what]) => {
        const takesXattrs = what.kind === "file" || what.kind === "directory";
        return { attributes: takesXattrs ? { ...common, xattrs } : common, what };
      }),
  }));
  return fc
    .record({ root: attributes, children: children(node, 12) })
    .map(({ root, children: nodes }) => [
      { path: "", kind: "directory" as const, ...root },
      ...nodes.flatMap(([child, it]) => describe(child, it)),
    ]);
}

function children(of: fc.Arbitrary<Node>, maxLength: number): fc.Arbitrary<[string, Node][]> {
  return fc.uniqueArray(fc.tuple(name, of), { selector: ([key]) => key, maxLength });
}

function describe(path: string, { attributes, what }: Node): MemoryTreeSpec {
  if (what.kind === "directory") {
    const below = what.children.flatMap(([child, it]) => describe(`${path}/${child}`, it));
    return [{ path, kind: what.kind, ...attributes }, ...below];
  }
  if (what.kind !== "file") return [{ path, ...what, ...attributes }];
  const { size, hole, isLinked } = what;
  const third = Math.floor(size / 3);
  // Where there is no data there are zeros.
  const isData = (offset: number): boolean => !hole || offset < third || offset >= 2 * third;
  const content = { size, fill: (offset: number) => (isData(offset) ? offset * 7 + 1 : 0) };
  const extents = [
    { offset: 0, length: third },
    { offset: 2 * third, length: size - 2 * third },
  ];
  const file = { path, content, ...attributes, ...(hole && third > 0 ? { extents } : {}) };
  // A name of its own, so that no other node has it, with a parent of this owner.
  return isLinked ? [file, { path: `${path.slice(0, 250 + path.lastIndexOf("/"))}~link`, hardlinkTo: path }] : [file];
}
