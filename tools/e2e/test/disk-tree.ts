import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";

type Described = Extract<MemoryTreeSpec[number], { kind?: unknown }>;
type Attributes = Pick<Described, "mode" | "uid" | "gid" | "mtime">;
type Xattrs = Record<string, Uint8Array>;
type Content = Pick<Described, "content" | "extents">;

type Node = { attributes: Attributes } & (
  | { kind: "directory"; xattrs: Xattrs; acls: Xattrs; children: [string, Node][] }
  | { kind: "file"; xattrs: Xattrs; acls: Xattrs; content: Content; otherNames: string[] }
  | { kind: "symlink"; xattrs: Xattrs; linkTarget: string }
  | { kind: "char" | "block"; xattrs: Xattrs; device: { major: number; minor: number } }
  | { kind: "fifo" | "socket"; xattrs: Xattrs }
);

const KIB = 1024;
const MIB = 1024 * KIB;
/** What one ext4 extent can hold, in bytes. */
const EXTENT_BYTES = 128 * MIB;
/** Longer paths cannot be named in a system call. */
const PATH_MAX = 4095;
/** What listxattr(2) and an ext4 inode with one xattr block can name. */
const XATTR_NAMES_MAX = 2500;
/** The kernel has no longer ones; EROFS ends a byte before. */
const XATTR_VALUE_MAX = 64 * KIB;
/** EROFS counts an inode's xattrs in 4 bytes with 16 bits. */
const XATTR_VALUES_MAX = 200 * KIB;

/** Any bytes but `/` and NUL, most often a few letters. */
const name = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "-", ".", "~"), minLength: 1, maxLength: 6 }) },
    { weight: 3, arbitrary: bytes(1, 20) },
    { weight: 1, arbitrary: bytes(240, 255) },
  )
  .filter((text) => text !== "." && text !== "..");

const attributes: fc.Arbitrary<Attributes> = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 0xfffffffe }),
  gid: fc.integer({ min: 0, max: 0xfffffffe }),
  mtime: fc.record({
    seconds: fc.oneof(
      fc.integer({ min: 0, max: 2 ** 31 }),
      // what the 34 bits of ext4 begin and end with, and where their upper two change
      fc.constantFrom(
        -(2 ** 31),
        -1,
        0,
        2 ** 31 - 1,
        2 ** 31,
        2 ** 32 - 1,
        2 ** 32,
        3 * 2 ** 31,
        3 * 2 ** 32,
        7 * 2 ** 31 - 1,
      ),
      fc.integer({ min: -(2 ** 31), max: 7 * 2 ** 31 - 1 }),
    ),
    nanoseconds: fc.oneof(fc.constantFrom(0, 999_999_999), fc.integer({ min: 0, max: 999_999_999 })),
  }),
});

const value = fc
  .oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 120 }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 5000 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(3999, 4000, 4063, 4064, 4096, 8192, 16 * KIB, 64 * KIB - 1, XATTR_VALUE_MAX),
    },
  )
  .chain((length) => fc.nat(255).map((seed) => Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 0xff)));

/** What setcap(8) writes: the kernel gives nothing else as this attribute. */
const capability = fc.nat(0xff).map((bits) => Uint8Array.from([1, 0, 0, 2, bits, ...Array<number>(15).fill(0)]));

/** One that gives a user rights. */
const acl = fc.nat(0xfffffffe).map((id) => {
  const entries = Buffer.from(
    "0200000001000700ffffffff020005000000000004000500ffffffff10000700ffffffff20000500ffffffff",
    "hex",
  );
  entries.writeUInt32LE(id, 16);
  return new Uint8Array(entries);
});

const privileged = xattrsOf(
  fc.oneof(
    bytes(1, 30).map((suffix) => `trusted.${suffix}`),
    fc.constantFrom("trusted.overlay.opaque", "security.ima", "security.selinux"),
  ),
);
const anyone = xattrsOf(
  fc.oneof(
    fc.constantFrom("user.u", "user.overlay.opaque", "trusted.t"),
    bytes(1, 30).map((suffix) => `user.${suffix}`),
    bytes(200, 250).map((suffix) => `user.${suffix}`),
  ),
);
const fileAcls = fc.record(
  { "system.posix_acl_access": acl, "security.capability": capability },
  { requiredKeys: [] },
) as fc.Arbitrary<Xattrs>;
const directoryAcls = fc.record(
  { "system.posix_acl_access": acl, "system.posix_acl_default": acl },
  { requiredKeys: [] },
) as fc.Arbitrary<Xattrs>;

const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.constantFrom(0, 4032, 4096, 8192, 60 * KIB, 64 * KIB, 68 * KIB, 128 * KIB),
        fc.integer({ min: -1, max: 1 }),
      )
      .map(([border, beside]) => Math.max(0, border + beside)),
  },
  { weight: 1, arbitrary: fc.constantFrom(MIB - 1, MIB, MIB + 1, 3 * MIB + 5) },
);

/** Text, noise, and both in turn, so that compressors find all of it. */
const textures = [0, 1, 4096, 30_000].map((turn) =>
  Buffer.from(
    Uint8Array.from({ length: 10 * MIB }, (_, at) =>
      turn === 0 || (turn > 1 && Math.floor(at / turn) % 2 === 0)
        ? "what a file of text may say, again; ".charCodeAt(at % 36)
        : (Math.imul(at, 0x9e3779b1) ^ Math.imul(at >>> 3, 0x85ebca6b)) >>> 13,
    ),
  ),
);
const texture = fc.tuple(fc.constantFrom(...textures), fc.nat(255)).map(
  ([bytesOfAll, start]) =>
    (length: number): Uint8Array =>
      bytesOfAll.subarray(start, start + length),
);

const dense: fc.Arbitrary<Content> = fc.tuple(size, texture).map(([length, cut]) => ({ content: cut(length) }));

/** Around how many extents an ext4 inode and one block of them hold. */
const fragmented: fc.Arbitrary<Content> = fc
  .tuple(fc.constantFrom(1, 3, 4, 5, 12, 339, 340, 341, 700), fc.constantFrom(4096, 5000), texture)
  .map(([count, length, cut]) => ({
    content: cut(count * 12_288 + 17),
    extents: Array.from({ length: count }, (_, at) => ({ offset: at * 12_288, length })),
  }));

/** With data at both ends and around the border of what one ext4 extent reaches. */
const far: fc.Arbitrary<Content> = fc.integer({ min: -2, max: 2 }).map((beside) => ({
  content: { size: EXTENT_BYTES + beside + 9000, fill: (at: number) => at * 7 },
  extents: [
    { offset: 0, length: 5 },
    { offset: EXTENT_BYTES + beside - 6000, length: 12_000 },
  ],
}));

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5, depthSize: "small", withCrossShrink: true },
    fc.record({
      kind: fc.constant("file" as const),
      attributes,
      xattrs: anyone,
      acls: fileAcls,
      content: fc.oneof({ weight: 40, arbitrary: dense }, { weight: 1, arbitrary: fragmented }),
      otherNames: fc.oneof(
        { weight: 4, arbitrary: fc.constant<string[]>([]) },
        { weight: 1, arbitrary: fc.uniqueArray(name, { maxLength: 5 }) },
      ),
    }),
    fc.record({
      kind: fc.constant("symlink" as const),
      attributes,
      xattrs: privileged,
      linkTarget: fc.oneof(bytes(1, 100), bytes(58, 61), bytes(3900, 4095)),
    }),
    fc.record({
      kind: fc.constantFrom("char" as const, "block" as const),
      attributes,
      xattrs: privileged,
      device: fc.record({
        major: fc.oneof(fc.nat(255), fc.nat(0xfff)),
        minor: fc.oneof(fc.nat(255), fc.nat(0xfffff)),
      }),
    }),
    fc.record({ kind: fc.constantFrom("fifo" as const, "socket" as const), attributes, xattrs: privileged }),
    directory(tie("node"), 8),
    directory(tie("node"), 40),
  ),
}));

/** So many names that a directory needs an index of two levels. */
const crowd = fc.tuple(fc.constantFrom(40_000, 39_999), fc.constantFrom(1, 12, 60)).map(([count, length]) =>
  Array.from({ length: count }, (_, at) => ({
    path: `crowd/${"n".repeat(length)}${at}`,
    ...(at % 3 === 0 ? { kind: "fifo" as const } : { linkTarget: "t" }),
  })),
);

/** One directory in another, down to where paths cannot be longer. */
const deep = fc.tuple(fc.integer({ min: 1, max: 255 }), bytes(1, 1)).map(([length, letter]): MemoryTreeSpec => [
  {
    path: Array<string>(Math.floor((PATH_MAX - 10) / (length + 1)))
      .fill(letter.repeat(length))
      .join("/"),
  },
]);

const farFile = far.map((content): MemoryTreeSpec => [{ path: "far", ...content }]);

const seldom = (arbitrary: fc.Arbitrary<MemoryTreeSpec>, one: number): fc.Arbitrary<MemoryTreeSpec> =>
  fc.oneof({ weight: one - 1, arbitrary: fc.constant([]) }, { weight: 1, arbitrary });

const trees: fc.Arbitrary<MemoryTreeSpec> = fc
  .record({
    attributes,
    xattrs: anyone,
    acls: directoryAcls,
    children: children(node, 30, 8),
    extras: fc.tuple(seldom(deep, 8), seldom(farFile, 30), seldom(crowd, 100)),
  })
  .map(({ children: nodes, extras, ...root }) => [
    { path: "", kind: "directory", ...root.attributes, xattrs: { ...root.xattrs, ...root.acls } },
    ...nodes.flatMap(([child, it]) => describe(child, it)).filter((described) => described.path.length <= PATH_MAX),
    ...extras.flat(),
  ]);

/** The tree that belongs to a number, the same at any time: every kind of entry, and whatever lies at the border of something. */
export function diskTree(seed: number): MemoryTreeSpec {
  return fc.sample(trees, { seed, numRuns: 1 })[0]!;
}

function directory(of: fc.Arbitrary<Node>, maxLength: number): fc.Arbitrary<Node> {
  return fc.record({
    kind: fc.constant("directory" as const),
    attributes,
    xattrs: anyone,
    acls: directoryAcls,
    children: children(of, maxLength),
  });
}

function children(of: fc.Arbitrary<Node>, maxLength: number, minLength = 0): fc.Arbitrary<[string, Node][]> {
  return fc.uniqueArray(fc.tuple(name, of), { selector: ([key]) => key, minLength, maxLength });
}

function describe(path: string, it: Node): MemoryTreeSpec {
  const acls = "acls" in it ? it.acls : {};
  const common = { path, ...it.attributes, xattrs: { ...it.xattrs, ...acls } };
  switch (it.kind) {
    case "directory":
      return [
        { kind: it.kind, ...common },
        ...it.children.flatMap(([child, below]) => describe(`${path}/${child}`, below)),
      ];
    case "file": {
      if (path.length > PATH_MAX) return [];
      // directories of their own, so that no other node has these names
      const place = `links to ${path.replaceAll("/", "_").slice(0, 200)}`;
      const others = it.otherNames.map((other) => ({ path: `${place}/${other}`, hardlinkTo: path }));
      return [{ ...common, ...it.content }, ...others];
    }
    case "symlink":
      return [{ ...common, linkTarget: it.linkTarget }];
    case "char":
    case "block":
      return [{ kind: it.kind, ...common, device: it.device }];
    default:
      return [{ kind: it.kind, ...common }];
  }
}

/** None, a few, or many small ones. */
function xattrsOf(names: fc.Arbitrary<string>): fc.Arbitrary<Xattrs> {
  const few = fc.dictionary(names, value, { maxKeys: 8, noNullPrototype: true });
  const many = fc.dictionary(names, fc.uint8Array({ maxLength: 30 }), {
    maxKeys: 60,
    size: "medium",
    noNullPrototype: true,
  });
  return fc
    .oneof({ weight: 8, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: few }, { weight: 1, arbitrary: many })
    .map((xattrs) => {
      let nameRoom = XATTR_NAMES_MAX;
      let valueRoom = XATTR_VALUES_MAX;
      const kept = Object.entries(xattrs).filter(([key, bytesOfValue]) => {
        nameRoom -= key.length + 20;
        valueRoom -= bytesOfValue.length;
        return nameRoom > 0 && valueRoom > 0;
      });
      return Object.fromEntries(kept);
    });
}

function bytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f);
  return fc
    .array(byte, { minLength, maxLength, size: "max" })
    .map((codes) => String.fromCharCode(...codes))
    .filter((text) => text !== "." && text !== "..");
}
