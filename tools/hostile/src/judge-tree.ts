import type { CpioEntry } from "./cpio-archive.js";
import type { ExpectedEntry, ExpectedTree } from "./hostile-case.js";

/** A line of `lamella ls -R --json`. */
interface ListedEntry {
  readonly path: string;
  readonly pathHex?: string;
  readonly kind: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly links: number;
  readonly linkTarget?: string;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly xattrs: Readonly<Record<string, string>>;
}

type Value = string | number | undefined;

const PERMISSIONS = 0o7777;

/** What of a listing is not as expected, a line each. */
export function judgeListing(stdout: string, { tree }: ExpectedTree): string[] {
  const listed = new Map<string, ListedEntry>();
  for (const line of stdout.split("\n").filter((each) => each !== "")) {
    const entry = JSON.parse(line) as ListedEntry;
    const bytes = entry.pathHex === undefined ? Buffer.from(entry.path) : Buffer.from(entry.pathHex, "hex");
    listed.set(bytes.toString("latin1"), entry);
  }
  const expected = Object.entries(tree).filter(([path]) => path !== "");
  return [
    ...differentNames([...listed.keys()], expected, "ls"),
    ...expected.flatMap(([path, entry]) => judgeEntry(path, entry, listed.get(path))),
  ];
}

/** The same for the contents, and the root's own attributes, which a listing leaves out. */
export function judgeContents(entries: readonly CpioEntry[], { tree }: ExpectedTree): string[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const byInode = new Map<number, string>();
  for (const { inode, content } of entries) if (content !== "") byInode.set(inode, content);
  const expected = Object.entries(tree);
  const names = [...byPath.keys()].filter((path) => path !== "");
  return [
    ...differentNames(
      names,
      expected.filter(([path]) => path !== ""),
      "the cpio disk",
    ),
    ...expected.flatMap(([path, { content }]) => {
      const found = byPath.get(path);
      if (found === undefined || content === undefined) return [];
      return differs(`the content of "${shown(path)}"`, byInode.get(found.inode) ?? "", content);
    }),
    ...judgeRoot(byPath.get(""), tree[""]),
  ];
}

function judgeRoot(found: CpioEntry | undefined, expected: ExpectedEntry | undefined): string[] {
  if (expected === undefined) return [];
  return [
    ...differs("the root's mode", found === undefined ? undefined : found.mode & PERMISSIONS, expected.mode),
    ...differs("the root's uid", found?.uid, expected.uid),
    ...differs("the root's gid", found?.gid, expected.gid),
  ];
}

function judgeEntry(path: string, expected: ExpectedEntry, found: ListedEntry | undefined): string[] {
  if (found === undefined) return [];
  const { kind, size, mode, uid, gid, mtimeSeconds, links, linkTarget, device, xattrs } = expected;
  const what = (field: string): string => `${field} of "${shown(path)}"`;
  return [
    ...differs(what("kind"), found.kind, kind),
    ...differs(what("size"), found.size, size),
    ...differs(what("mode"), found.mode, mode),
    ...differs(what("uid"), found.uid, uid),
    ...differs(what("gid"), found.gid, gid),
    ...differs(what("mtime"), found.mtimeSeconds, mtimeSeconds),
    ...differs(what("links"), found.links, links),
    ...differs(what("target"), found.linkTarget, linkTarget),
    ...differs(what("device"), [found.deviceMajor, found.deviceMinor].join(), device?.join()),
    ...differs(what("xattrs"), valuesOf(found.xattrs, "base64"), xattrs && valuesOf(xattrs, "latin1")),
  ];
}

/** Values in the order of their names, which a listing shows escaped: the names themselves are compared where they are plain. */
function valuesOf(xattrs: Readonly<Record<string, string>>, encoding: BufferEncoding): string {
  const plain = ([name, value]: [string, string]): string =>
    `${/^[a-z._]+$/.test(name) ? name : "?"}=${Buffer.from(value, encoding).toString("hex")}`;
  return Object.entries(xattrs).map(plain).sort().join();
}

function differentNames(
  found: readonly string[],
  expected: readonly (readonly [string, unknown])[],
  where: string,
): string[] {
  const wanted = new Set(expected.map(([path]) => path));
  const there = new Set(found);
  return [
    ...found
      .filter((path) => !wanted.has(path))
      .map((path) => `${where} has "${shown(path)}", which should not be there`),
    ...[...wanted].filter((path) => !there.has(path)).map((path) => `${where} lacks "${shown(path)}"`),
  ];
}

function differs(what: string, found: Value, expected: Value): string[] {
  if (expected === undefined || found === expected) return [];
  return [`${what} is ${shown(String(found))}, not ${shown(String(expected))}`];
}

function shown(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1);
  return escaped.length > 200 ? `${escaped.slice(0, 200)}…` : escaped;
}
