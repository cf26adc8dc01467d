import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { Entry, FileTree } from "../../file-tree.js";
import type { LossCollector } from "../../losses.js";
import { splitPath } from "../../merge/path.js";
import { tarInputOf, tarLinkTo } from "../../tar/tree-entry.js";
import type { TarInput } from "../../tar/writer.js";

/** What a directory can be given. */
export interface Powers {
  /** Any owner, device and extended attribute; else those of an ordinary user. */
  readonly asRoot: boolean;
}

export interface TarEntriesOptions extends CallOptions, Powers {
  /** Names of inodes that are in the directory already. */
  readonly there?: ReadonlyMap<number, string>;
  readonly losses: LossCollector;
  /** Told of each entry as it is taken, with the bytes of its file. */
  onEntry(bytes: number): void;
}

/** Linux' PATH_MAX counts the closing NUL. */
const PATH_BYTES_MAX = 4095;
const NAME_BYTES_MAX = 255;
/** What six octal digits hold. */
const DEVICE_NUMBER_MAX = 0o777777;

/**
 * What GNU tar is given to make a directory of a tree's entries: later names of an inode are hard links to its first, and what this
 * process may not make is left out and noted as a loss.
 */
export async function* tarEntries(
  tree: FileTree,
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  { asRoot, there = new Map(), losses, onEntry }: TarEntriesOptions,
): AsyncGenerator<TarInput> {
  const firstNames = new Map(there);
  for await (const entry of entries) {
    requireShort(entry);
    const missing = unmakeable(entry, asRoot);
    if (missing !== undefined) {
      losses.add(missing, entry.path);
      continue;
    }
    const first = firstNames.get(entry.inode);
    if (first !== undefined) {
      yield tarLinkTo(entry, first);
      onEntry(0);
      continue;
    }
    if (entry.links > 1) firstNames.set(entry.inode, entry.path);
    yield tarInputOf(tree, asRoot ? entry : withinOwnPowers(entry, losses));
    onEntry(entry.kind === "file" ? entry.size : 0);
  }
}

function unmakeable({ kind, deviceMajor, deviceMinor }: Entry, asRoot: boolean): string | undefined {
  if (kind === "socket") return "sockets";
  if (kind !== "char" && kind !== "block") return undefined;
  if (Math.max(deviceMajor, deviceMinor) > DEVICE_NUMBER_MAX) return `devices with a number over ${DEVICE_NUMBER_MAX}`;
  // Anybody may make an overlay's whiteout.
  const isWhiteout = kind === "char" && deviceMajor === 0 && deviceMinor === 0;
  return asRoot || isWhiteout ? undefined : "devices, which only root can make";
}

function withinOwnPowers(entry: Entry, losses: LossCollector): Entry {
  if (entry.uid !== process.getuid?.() || entry.gid !== process.getgid?.())
    losses.add("owners, which only root can set", entry.path);
  const xattrs = [...entry.xattrs].filter(([name]) => isOwnXattr(entry, name));
  if (xattrs.length === entry.xattrs.size) return entry;
  losses.add("extended attributes, which only root can set", entry.path);
  return { ...entry, xattrs: new Map(xattrs) };
}

/** xattr(7): `user.` is for files and directories; an access control list is the owner's to set. */
function isOwnXattr({ kind }: Entry, name: string): boolean {
  if (name.startsWith("user.")) return kind === "file" || kind === "directory";
  return name.startsWith("system.posix_acl_");
}

function requireShort({ path }: Entry): void {
  const { name } = splitPath(path);
  const long =
    name.length > NAME_BYTES_MAX
      ? `a name of ${name.length} bytes is over Linux' limit of ${NAME_BYTES_MAX}`
      : path.length > PATH_BYTES_MAX
        ? `its path of ${path.length} bytes is over Linux' limit of ${PATH_BYTES_MAX}`
        : undefined;
  if (long !== undefined) throw unpackable(path, long);
}

/** A tree's entries, of which none can leave the directory: parents come first and are directories, and no path comes twice. */
export async function* sealedEntries(entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  const open: { readonly path: string; last: string }[] = [];
  for await (const entry of entries) {
    const { path, kind } = entry;
    const { parent, name } = splitPath(path);
    const isRoot = path === "" && kind === "directory" && open.length === 0;
    const isPlain = isPlainName(name) && path === (parent === "" ? name : `${parent}/${name}`);
    if (!isRoot && !isPlain) throw unpackable(path, "it is no place in a tree");
    while (open.length > 0 && open.at(-1)?.path !== parent) open.pop();
    const directory = open.at(-1);
    if (path !== "") {
      if (directory === undefined) throw unpackable(path, "its parent is no directory that came before");
      if (name <= directory.last) throw unpackable(path, "it is out of order");
      directory.last = name;
    }
    if (kind === "directory") open.push({ path, last: "" });
    yield entry;
  }
}

function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("\0");
}

function unpackable(path: string, why: string): LayerFormatError {
  return new LayerFormatError("unpack_failed", `cannot unpack "${displayPath(path)}": ${why}`);
}
