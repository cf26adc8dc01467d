import type { CallOptions } from "@lamella/refs";

import type { Attributes, Entry, FileTree } from "./file-tree.js";
import { walkTrees } from "./tree-walk.js";

/** What two entries of one path can differ in. `links` is which other names are hard links to them. */
export const ENTRY_ASPECTS = [
  "kind",
  "mode",
  "owner",
  "mtime",
  "xattrs",
  "size",
  "content",
  "target",
  "device",
  "links",
] as const;
export type EntryAspect = (typeof ENTRY_ASPECTS)[number];

export interface CompareTreesOptions extends CallOptions {
  /** Differences that do not count. Where `content` is one of them no file is read. */
  ignore?: readonly EntryAspect[];
}

/** A path that is not the same in two trees. */
export type TreeDifference =
  | { readonly change: "added"; readonly entry: Entry }
  | { readonly change: "removed"; readonly entry: Entry }
  | {
      readonly change: "changed";
      readonly entry: Entry;
      readonly before: Entry;
      /** In which aspects, at least one. */
      readonly aspects: readonly EntryAspect[];
    };

/**
 * Compares two trees, path by path in the order of both, and gives what is not the same: everything that an `Entry` says, and each byte of
 * files of one size. Holes are zeros. Nothing is held but one entry of each tree and the names of hard links.
 *
 * @throws {Error} what reading the trees throws
 */
export async function* compareTrees(
  before: FileTree,
  after: FileTree,
  { ignore = [], ...options }: CompareTreesOptions = {},
): AsyncGenerator<TreeDifference> {
  const firstNames = { before: new Map<number, string>(), after: new Map<number, string>() };
  for await (const { before: old, after: now } of walkTrees(before, after, options)) {
    const oldName = old && noteFirstName(firstNames.before, old);
    const newName = now && noteFirstName(firstNames.after, now);
    if (old === undefined || now === undefined) {
      if (old !== undefined) yield { change: "removed", entry: old };
      if (now !== undefined) yield { change: "added", entry: now };
      continue;
    }
    const aspects = attributeAspects(old, now).filter((aspect) => !ignore.includes(aspect));
    const sameLinks = oldName === newName && old.links === now.links;
    if (old.kind === now.kind && !ignore.includes("links") && !sameLinks) aspects.push("links");
    const mayDiffer = !ignore.includes("content") && mayDifferInContent(old, now);
    if (mayDiffer && !(await isSameContent([before, old], [after, now], options))) aspects.push("content");
    if (aspects.length > 0) yield { change: "changed", entry: now, before: old, aspects };
  }
}

/** The first name of the entry's inode. Only an inode of several names is remembered. */
function noteFirstName(names: Map<number, string>, { inode, links, path }: Entry): string {
  if (links < 2) return path;
  const first = names.get(inode) ?? path;
  names.set(inode, first);
  return first;
}

/** What two entries differ in, as far as they say it themselves: their content and other names are not looked at. */
export function attributeAspects(old: Entry, now: Entry): EntryAspect[] {
  if (old.kind !== now.kind) return ["kind"];
  const differs: Partial<Record<EntryAspect, boolean>> = {
    mode: old.mode !== now.mode,
    owner: old.uid !== now.uid || old.gid !== now.gid,
    mtime: old.mtimeSeconds !== now.mtimeSeconds || old.mtimeNanoseconds !== now.mtimeNanoseconds,
    xattrs: !isSameXattrs(old.xattrs, now.xattrs),
    size: old.kind === "file" && old.size !== now.size,
    target: old.linkTarget !== now.linkTarget,
    device: old.deviceMajor !== now.deviceMajor || old.deviceMinor !== now.deviceMinor,
  };
  return (Object.keys(differs) as EntryAspect[]).filter((aspect) => differs[aspect]);
}

/** Whatever the two are of. */
export function hasSameAttributes(one: Attributes, other: Attributes): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.mtimeSeconds === other.mtimeSeconds &&
    one.mtimeNanoseconds === other.mtimeNanoseconds &&
    isSameXattrs(one.xattrs, other.xattrs)
  );
}

function isSameXattrs(old: Entry["xattrs"], now: Entry["xattrs"]): boolean {
  if (old.size !== now.size) return false;
  if (old === now || old.size === 0) return true;
  return [...old].every(([name, value]) => {
    const other = now.get(name);
    return other !== undefined && isSame(value, other);
  });
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

function mayDifferInContent(old: Entry, now: Entry): boolean {
  return old.kind === "file" && now.kind === "file" && old.size === now.size && now.size > 0;
}

/** An entry and its tree. */
export type OpenEntry = readonly [FileTree, Entry];

/** Compares the bytes of two files, up to the first that differs. */
export async function isSameContent(old: OpenEntry, now: OpenEntry, options: CallOptions = {}): Promise<boolean> {
  const left = old[0].read(old[1], options)[Symbol.asyncIterator]();
  const right = now[0].read(now[1], options)[Symbol.asyncIterator]();
  try {
    let first = await nextChunk(left);
    let second = await nextChunk(right);
    while (first !== undefined && second !== undefined) {
      const count = Math.min(first.length, second.length);
      if (!isSame(first.subarray(0, count), second.subarray(0, count))) return false;
      first = count < first.length ? first.subarray(count) : await nextChunk(left);
      second = count < second.length ? second.subarray(count) : await nextChunk(right);
    }
    return first === undefined && second === undefined;
  } finally {
    await left.return?.();
    await right.return?.();
  }
}

async function nextChunk(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  for (;;) {
    const { done, value } = await chunks.next();
    if (done === true) return undefined;
    if (value.length > 0) return value;
  }
}
