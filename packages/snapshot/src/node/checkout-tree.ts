import { displayPath } from "@lamella/layer-format";
import type { Attributes, Entry, FileTree, InodeOrigin, LayeredTree, ReadOptions } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { CheckoutRecord, RecordedInode } from "./checkout-record.js";
import type { CheckoutScan, NameState } from "./checkout-scan.js";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface CheckoutTreeSource {
  /** What the snapshot showed when it was checked out. */
  readonly view: LayeredTree;
  /** The directory as it is, and each of its names. */
  readonly disk: FileTree;
  readonly scan: CheckoutScan;
  readonly record: CheckoutRecord;
  /** Whose new names are; those of the disk if undefined. */
  readonly owner: Owner | undefined;
}

type Xattrs = Attributes["xattrs"];
type Source = readonly [tree: FileTree, entry: Entry];

/** What a security module writes on every file of its machine. */
const HOST_XATTRS: ReadonlySet<string> = new Set(["security.selinux"]);
const NS_PER_SECOND = 1_000_000_000n;

/**
 * What a checkout means: of an inode that was there from the beginning, each attribute that is as it was is the view's, however little of that the disk could
 * hold, and each other one is the disk's. An inode that was not written to has its content from the view. New inodes are the disk's.
 *
 * The trees are borrowed: closing this one does nothing.
 */
export async function createCheckoutTree(source: CheckoutTreeSource, options: CallOptions): Promise<LayeredTree> {
  const { view, disk, scan, record } = source;
  const entries = new Map<string, Entry>();
  const sources: Source[] = [];
  const inodes: Entry[] = [];
  for await (const found of disk.entries(options)) {
    const { path, inode } = found;
    const known = inodes[inode];
    if (known !== undefined) {
      entries.set(path, { ...known, path });
      continue;
    }
    const state = scan.get(path);
    if (state === undefined) throw changedCheckout(path);
    const recorded = record.get(state.identity);
    const before = recorded?.kind === state.kind ? await view.lookup(recorded.path, options) : undefined;
    const kept = recorded && before && { found, state, recorded, before };
    const entry = kept ? keptEntry(kept) : newEntry(found, state, source.owner);
    sources[inode] = kept && isUntouched(kept) ? [view, kept.before] : [disk, found];
    inodes[inode] = entry;
    entries.set(path, entry);
  }
  return {
    entryCount: entries.size,
    inodeCount: inodes.length,
    async *entries({ signal }: CallOptions = {}): AsyncGenerator<Entry> {
      for (const entry of entries.values()) {
        signal?.throwIfAborted();
        yield entry;
      }
    },
    async lookup(path: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
      signal?.throwIfAborted();
      return entries.get(path);
    },
    read(entry: Entry, call?: ReadOptions): AsyncIterable<Uint8Array> {
      const [tree, original] = sources[entry.inode] ?? [disk, entry];
      return tree.read(original, call);
    },
    origin(entry: Entry): InodeOrigin | undefined {
      const [tree, original] = sources[entry.inode] ?? [];
      return tree === view && original !== undefined ? view.origin(original) : undefined;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function newEntry(found: Entry, { mode }: NameState, owner: Owner | undefined): Entry {
  const isLabelled = [...found.xattrs.keys()].some((name) => HOST_XATTRS.has(name));
  const xattrs = isLabelled ? new Map([...found.xattrs].filter(([name]) => !HOST_XATTRS.has(name))) : found.xattrs;
  return { ...found, ...owner, mode, xattrs };
}

interface Kept {
  readonly found: Entry;
  readonly state: NameState;
  readonly recorded: RecordedInode;
  readonly before: Entry;
}

/** A write that leaves size and time of modification changes the time of change. */
function isUntouched({ state, recorded, before }: Kept): boolean {
  // A placeholder stands for what it is of for as long as nobody writes into it.
  if (before.kind !== recorded.kind) return state.size === 0n;
  return state.ctimeNs === recorded.ctimeNs && state.mtimeNs === recorded.mtimeNs && state.size === recorded.size;
}

function keptEntry(kept: Kept): Entry {
  const { found, before } = kept;
  const { path, inode, links, locality } = found;
  const { extents, ...attributes } = { ...(isUntouched(kept) ? before : found), ...keptAttributes(kept) };
  const entry = { ...attributes, path, inode, links, locality };
  return extents === undefined ? entry : { ...entry, extents };
}

function keptAttributes({ found, state, recorded, before }: Kept): Attributes {
  const time = state.mtimeNs === recorded.mtimeNs ? before : timeOf(state);
  return {
    mode: state.mode === recorded.mode ? before.mode : state.mode,
    uid: state.uid === recorded.uid ? before.uid : state.uid,
    gid: state.gid === recorded.gid ? before.gid : state.gid,
    mtimeSeconds: time.mtimeSeconds,
    mtimeNanoseconds: time.mtimeNanoseconds,
    xattrs:
      state.ctimeNs === recorded.ctimeNs ? before.xattrs : keptXattrs(found.xattrs, recorded.xattrs, before.xattrs),
  };
}

function timeOf({ mtimeNs }: NameState): Pick<Attributes, "mtimeSeconds" | "mtimeNanoseconds"> {
  const nanoseconds = ((mtimeNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return { mtimeSeconds: Number((mtimeNs - nanoseconds) / NS_PER_SECOND), mtimeNanoseconds: Number(nanoseconds) };
}

function keptXattrs(found: Xattrs, recorded: Xattrs, before: Xattrs): Xattrs {
  const result = new Map(before);
  for (const name of new Set([...found.keys(), ...recorded.keys()])) {
    const now = found.get(name);
    if (isSameValue(now, recorded.get(name))) continue;
    if (now === undefined) result.delete(name);
    else result.set(name, now);
  }
  return result;
}

function isSameValue(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0);
}

function changedCheckout(path: string): SnapshotError {
  return new SnapshotError(
    "mount_failed",
    `cannot read the checkout: "${displayPath(path)}" came while it was being read`,
  );
}
