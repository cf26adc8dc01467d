import { type BigIntStats, lstatSync, readlinkSync } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { Entry, FileKind } from "../../file-tree.js";
import { NO_XATTRS } from "../../merge/inode.js";
import { type Awaitable, type CallsOfBothKinds, Pace } from "./pace.js";

/** What a regular file was when the directory was read, so that a later look can tell whether it is the same still. */
export interface FileIdentity {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

export interface DirectoryIndex {
  /** In a tree's order. */
  readonly entries: readonly Entry[];
  /** By the entries' inode numbers; undefined for what is no regular file. */
  readonly files: readonly (FileIdentity | undefined)[];
}

/** Names looked at at once: enough to keep Node's threads busy, not so many that a burst is a long one. */
const BATCH = 16;
const NS_PER_SECOND = 1_000_000_000n;

type Draft = { -readonly [Key in keyof Entry]: Entry[Key] };

interface Seen {
  readonly path: string;
  readonly status: BigIntStats;
  readonly linkTarget: string;
}

interface NameCalls {
  status(path: Buffer): Awaitable<BigIntStats>;
  linkTarget(path: Buffer): Awaitable<string>;
}

const NAME_CALLS: CallsOfBothKinds<NameCalls> = {
  here: {
    status: (path) => lstatSync(path, { bigint: true }),
    linkTarget: (path) => readlinkSync(path, { encoding: "latin1" }),
  },
  pool: {
    status: (path) => lstat(path, { bigint: true }),
    linkTarget: (path) => readlink(path, { encoding: "latin1" }),
  },
};

/** The path of an entry on the host. The root's follows the symlink that a user may have named; no other does. */
export function hostPath(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path === "" ? "." : path, "latin1")]);
}

export function treeChanged(path: string, what: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("tree_changed", `cannot read "${displayPath(path)}": ${what}`, { cause });
}

interface Scan extends CallOptions {
  readonly root: string;
  readonly pace: Pace<NameCalls>;
}

/** Reads everything about a directory but the files' bytes. */
export async function scanDirectory(root: string, options: CallOptions): Promise<DirectoryIndex> {
  const index = new IndexBuilder();
  const scan = { ...options, root, pace: new Pace(NAME_CALLS) };
  const top = { path: "", status: await lstat(hostPath(root, ""), { bigint: true }), linkTarget: "" };
  const open = [[top].values()];
  for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
    const next = level.next();
    if (next.done === true) {
      open.pop();
      continue;
    }
    index.add(next.value);
    if (next.value.status.isDirectory()) open.push((await look(next.value, scan)).values());
  }
  return index.finish();
}

/** What a directory holds, in byte order. */
async function look(directory: Seen, { root, pace, signal }: Scan): Promise<Seen[]> {
  signal?.throwIfAborted();
  const here = hostPath(root, directory.path);
  const names = (await readdir(here, { encoding: "latin1" })).sort();
  const prefix = directory.path === "" ? "" : `${directory.path}/`;
  const seen: Seen[] = [];
  for (let start = 0; start < names.length; start += BATCH) {
    signal?.throwIfAborted();
    const batch = names.slice(start, start + BATCH);
    const look = (calls: NameCalls): Promise<Seen[]> =>
      Promise.all(batch.map((name) => lookAt(calls, root, prefix + name)));
    seen.push(...(await pace.run(look)));
  }
  const after = await pace.run(async (calls) => calls.status(here));
  const { dev, ino, mtimeNs } = directory.status;
  if (after.dev !== dev || after.ino !== ino || after.mtimeNs !== mtimeNs)
    throw treeChanged(directory.path, "the directory changed while it was listed");
  return seen;
}

async function lookAt(calls: NameCalls, root: string, path: string): Promise<Seen> {
  const there = hostPath(root, path);
  try {
    const status = await calls.status(there);
    const linkTarget = status.isSymbolicLink() ? await calls.linkTarget(there) : "";
    return { path, status, linkTarget };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A name that was listed is gone, or the symlink is none any more.
    if (code === "ENOENT" || code === "EINVAL") throw treeChanged(path, "it was replaced or removed", error);
    throw error;
  }
}

class IndexBuilder {
  readonly #entries: Draft[] = [];
  readonly #files: (FileIdentity | undefined)[] = [];
  /** Inodes of several names, by device and number. */
  readonly #shared = new Map<string, Seen & { readonly entry: Draft }>();

  add(seen: Seen): void {
    const { path, status } = seen;
    const isShared = status.nlink > 1n && !status.isDirectory();
    const key = isShared ? `${status.dev}:${status.ino}` : "";
    const first = isShared ? this.#shared.get(key) : undefined;
    if (first !== undefined) {
      if (first.status.size !== status.size || first.status.mtimeNs !== status.mtimeNs)
        throw treeChanged(path, "the file changed while its directory was read");
      first.entry.links++;
      this.#entries.push({ ...first.entry, path });
      return;
    }
    const entry = describe(seen, this.#files.length);
    this.#entries.push(entry);
    this.#files.push(entry.kind === "file" ? identify(path, status) : undefined);
    if (isShared) this.#shared.set(key, { ...seen, entry });
  }

  finish(): DirectoryIndex {
    const links = new Map([...this.#shared.values()].map(({ entry }) => [entry.inode, entry.links]));
    if (links.size > 0) for (const entry of this.#entries) entry.links = links.get(entry.inode) ?? 1;
    return { entries: this.#entries, files: this.#files };
  }
}

function identify(path: string, { dev, ino, size, mtimeNs }: BigIntStats): FileIdentity {
  return { path, device: dev, inode: ino, size, mtimeNs };
}

function describe({ path, status, linkTarget }: Seen, inode: number): Draft {
  const kind = kindOf(path, status);
  const isDevice = kind === "char" || kind === "block";
  const nanoseconds = ((status.mtimeNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return {
    path,
    kind,
    mode: Number(status.mode & 0o7777n),
    uid: Number(status.uid),
    gid: Number(status.gid),
    mtimeSeconds: Number((status.mtimeNs - nanoseconds) / NS_PER_SECOND),
    mtimeNanoseconds: Number(nanoseconds),
    xattrs: NO_XATTRS,
    size: kind === "file" ? Number(status.size) : linkTarget.length,
    linkTarget,
    deviceMajor: isDevice ? deviceMajor(status.rdev) : 0,
    deviceMinor: isDevice ? deviceMinor(status.rdev) : 0,
    inode,
    links: 1,
    // Most file systems lay out files near each other whose inodes are.
    locality: kind === "file" ? Number(status.ino) : 0,
  };
}

function kindOf(path: string, status: BigIntStats): FileKind {
  if (status.isFile()) return "file";
  if (status.isDirectory()) return "directory";
  if (status.isSymbolicLink()) return "symlink";
  if (status.isCharacterDevice()) return "char";
  if (status.isBlockDevice()) return "block";
  if (status.isFIFO()) return "fifo";
  if (status.isSocket()) return "socket";
  throw new LayerFormatError(
    "layer_invalid",
    `cannot read "${displayPath(path)}": it is of no kind that a tree can hold`,
  );
}

/** Both halves of a device number lie apart in two fields each (makedev(3), glibc and musl alike). */
function deviceMajor(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
}

function deviceMinor(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));
}
