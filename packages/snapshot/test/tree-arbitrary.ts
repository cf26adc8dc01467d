import type { MemoryEntry, MemoryTreeSpec } from "@lamella/layer-format/testing";
import * as fc from "fast-check";

/** A name of each kind that has gone wrong somewhere: raw bytes, what sorts beside a slash, a backslash, a newline, a whole component's length. */
const NAMES = ["a", "b", "c", "a-", "a.b", "\xff\x80", "x\\n\n", " ", "-", "*", "wh.", "\xc3\xa4", "n".repeat(255)];

const name = fc.oneof({ weight: 6, arbitrary: fc.constantFrom("a", "b", "c") }, fc.constantFrom(...NAMES));
const path = fc.array(name, { minLength: 1, maxLength: 4 });
/** The same for all most of the time, so that metadata says nothing of the content. */
const mtime = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ seconds: 1_700_000_000, nanoseconds: 0 }) },
  { weight: 2, arbitrary: fc.constant({ seconds: 1_700_000_000, nanoseconds: 5 }) },
  fc.constantFrom(
    { seconds: 0, nanoseconds: 0 },
    { seconds: -7, nanoseconds: 999_999_999 },
    { seconds: 4_000_000_000, nanoseconds: 1 },
  ),
);
const attributes = fc.record({
  mode: fc.constantFrom(0o644, 0o644, 0o755, 0o4711, 0, 0o1777),
  uid: fc.constantFrom(0, 0, 1000, 3_000_000_000),
  gid: fc.constantFrom(0, 0, 5),
  mtime,
  xattrs: fc.constantFrom<Readonly<Record<string, string | Uint8Array>>>(
    {},
    {},
    { "user.a": "x" },
    { "user.a": "y" },
    { "user.b": "", "security.capability": Uint8Array.of(1, 0, 255, 10), "trusted.\xff": "x=\n" },
  ),
});
const content = fc.constantFrom("", "x", "y", "z", "long ".repeat(200));
const device = fc.constantFrom({ major: 1, minor: 3 }, { major: 1, minor: 5 }, { major: 259, minor: 262_143 });

const node: fc.Arbitrary<Omit<MemoryEntry, "path">> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("file" as const), content }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("directory" as const) }) },
  { weight: 1, arbitrary: fc.record({ linkTarget: fc.constantFrom("a", "../b", "/etc", "\xff", "t".repeat(300)) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("char" as const, "block" as const), device }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fifo" as const) }) },
  {
    weight: 1,
    arbitrary: fc.constant({
      kind: "file" as const,
      content: { size: 20_000, fill: 7 },
      extents: [{ offset: 4096, length: 512 }],
    }),
  },
);
const described = fc.tuple(node, attributes).map(([kind, shared]) => ({ ...shared, ...kind }));

/** What is done to a tree. A number chooses among what is there. */
type Change =
  | { readonly path: readonly string[]; readonly put: Omit<MemoryEntry, "path"> }
  | { readonly path: readonly string[]; readonly linkTo: number }
  | { readonly remove: number }
  /** All that is in the directory goes, for something else or nothing. */
  | { readonly clear: number; readonly refill: readonly Omit<MemoryEntry, "path">[] };

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ path, put: described }) },
  { weight: 2, arbitrary: fc.record({ path, linkTo: fc.nat(1000) }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat(1000) }) },
  { weight: 2, arbitrary: fc.record({ clear: fc.nat(1000), refill: fc.array(described, { maxLength: 2 }) }) },
);

/** A tree as an editor of it sees it: inodes by path. */
class EditedTree {
  readonly #inodes = new Map<string, Omit<MemoryEntry, "path">>();

  edit(changes: readonly Change[]): void {
    for (const done of changes) this.#apply(done);
  }

  spec(): MemoryTreeSpec {
    const names = new Map<object, string>();
    const spec: MemoryTreeSpec[number][] = [];
    for (const [shown, inode] of this.#inodes) {
      const first = names.get(inode);
      if (first !== undefined) spec.push({ path: shown, hardlinkTo: first });
      else spec.push({ ...inode, path: shown });
      if (inode.kind !== "directory") names.set(inode, shown);
    }
    return spec;
  }

  #apply(done: Change): void {
    if ("remove" in done) {
      const at = pick([...this.#inodes.keys()], done.remove);
      if (at === undefined) return;
      this.#inodes.delete(at);
      this.#removeBelow(at);
    } else if ("clear" in done) {
      const directories = [...this.#inodes].filter(([, { kind }]) => kind === "directory").map(([at]) => at);
      const at = pick(["", ...directories], done.clear) ?? "";
      this.#removeBelow(at);
      for (const [index, inode] of done.refill.entries()) this.#put([...at.split("/"), `new ${index}`], inode);
    } else if ("put" in done) {
      this.#put(done.path, done.put);
    } else {
      const leaves = [...this.#inodes.values()].filter(({ kind }) => kind !== "directory");
      const inode = pick(leaves, done.linkTo);
      if (inode !== undefined) this.#put(done.path, inode);
    }
  }

  #put(path: readonly string[], inode: Omit<MemoryEntry, "path">): void {
    const names = path.filter((part) => part !== "");
    for (let depth = 1; depth < names.length; depth++) {
      const parent = names.slice(0, depth).join("/");
      if (this.#inodes.get(parent)?.kind !== "directory") this.#inodes.set(parent, { kind: "directory" });
    }
    const at = names.join("/");
    if (inode.kind !== "directory") this.#removeBelow(at);
    this.#inodes.set(at, inode);
  }

  #removeBelow(at: string): void {
    const prefix = at === "" ? "" : `${at}/`;
    for (const other of this.#inodes.keys()) if (other.startsWith(prefix) && other !== "") this.#inodes.delete(other);
  }
}

function pick<Item>(items: readonly Item[], number: number): Item | undefined {
  return items[number % Math.max(1, items.length)];
}

const changes = fc.array(change, { maxLength: 24 });
const root = fc.option(attributes, { nil: undefined });

/** A tree, and what some changes make of it. */
export const treePair: fc.Arbitrary<readonly [MemoryTreeSpec, MemoryTreeSpec]> = fc
  .record({ first: changes, second: changes, roots: fc.tuple(root, root), apart: fc.boolean() })
  .map(({ first, second, roots, apart }) => {
    const tree = new EditedTree();
    tree.edit(first);
    const lower = tree.spec();
    const other = apart ? new EditedTree() : tree;
    other.edit(second);
    return [withRoot(lower, roots[0]), withRoot(other.spec(), roots[1])] as const;
  });

function withRoot(spec: MemoryTreeSpec, described: Omit<MemoryEntry, "path"> | undefined): MemoryTreeSpec {
  return described === undefined ? spec : [{ ...described, path: "", kind: "directory" }, ...spec];
}
