import { digestOf } from "@lamella/refs";

import type { Attributes, Extent, FileKind, FileTree } from "./file-tree.js";
import type { Layer, LayerEntry, LayerEntryKind } from "./layer.js";
import { mergeLayersSync } from "./merge/merge.js";
import { MemoryContents } from "./memory-contents.js";

export type { GeneratedContent } from "./memory-contents.js";
import type { GeneratedContent } from "./memory-contents.js";

/** What every described entry may say. Paths, targets and xattr names are byte strings (`byteString("ß")` for text). */
export interface MemoryEntry {
  path: string;
  /** By default `symlink` with a `linkTarget`, else `file`. */
  kind?: FileKind;
  /** A file's bytes, text in UTF-8, or huge files as a rule. With `extents`, what lies outside of them is not kept. */
  content?: string | Uint8Array | GeneratedContent;
  /** The ranges of a sparse file that hold data, ascending and disjoint. */
  extents?: readonly Extent[];
  /** By default 0755 for a directory, 0777 for a symlink, 0644 for everything else. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** In seconds, or with nanoseconds. */
  mtime?: number | { seconds: number; nanoseconds: number };
  xattrs?: Readonly<Record<string, string | Uint8Array>>;
  linkTarget?: string;
  device?: { major: number; minor: number };
}

export interface MemoryHardLink {
  path: string;
  /** The path of an earlier entry, whose attributes are taken over. */
  hardlinkTo: string;
}

export type MemoryTreeSpec = readonly (MemoryEntry | MemoryHardLink)[];

/** What a described layer may hold besides: markers, and hard links whose header says something of its own. */
export type MemoryLayerSpec = readonly (
  | MemoryEntry
  | MemoryHardLink
  | (Omit<MemoryEntry, "kind"> & { kind: "whiteout" | "opaque" | "hardlink" })
)[];

/**
 * A tree in memory, for tests. Parents that are not described are implied (0755, root, time 0); the root is the path "".
 * Files given by a rule take no memory, so that trees of terabytes are cheap.
 */
export function memoryTree(spec: MemoryTreeSpec): FileTree {
  return mergeLayersSync([memoryLayer(spec)]);
}

/** A layer in memory, for tests: its entries in the order of `spec`. The diffID stands for no tar, but layers that differ differ in it. */
export function memoryLayer(spec: MemoryLayerSpec): Layer {
  const contents = new MemoryContents();
  const entries: LayerEntry[] = [];
  for (const described of spec) {
    entries.push("hardlinkTo" in described ? hardLink(described, entries) : layerEntry(described, contents));
  }
  return {
    diffID: digestOf(new TextEncoder().encode(JSON.stringify(spec, describeValue))),
    entries,
    readContents: (offset, length, options) => contents.read(offset, length, options),
    [Symbol.asyncDispose]: () => {
      contents.close();
      return Promise.resolve();
    },
  };
}

/** Rules for content are told apart by which function they are. */
const ruleNumbers = new WeakMap<object, number>();
let ruleCount = 0;

function describeValue(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== "function") return value;
  const number = ruleNumbers.get(value) ?? ruleCount++;
  ruleNumbers.set(value, number);
  return number;
}

function layerEntry(described: Exclude<MemoryLayerSpec[number], MemoryHardLink>, contents: MemoryContents): LayerEntry {
  const { path, linkTarget = "", device, extents } = described;
  const kind: LayerEntryKind = described.kind ?? (described.linkTarget === undefined ? "file" : "symlink");
  const stored = kind === "file" ? contents.store(described.content ?? "", extents) : { size: 0, contentOffset: 0 };
  const entry: LayerEntry = {
    path,
    kind,
    ...attributesOf(described, kind),
    size: kind === "symlink" ? linkTarget.length : stored.size,
    linkTarget,
    deviceMajor: device?.major ?? 0,
    deviceMinor: device?.minor ?? 0,
    contentOffset: stored.contentOffset,
  };
  return extents === undefined ? entry : { ...entry, extents };
}

function attributesOf(described: Omit<MemoryEntry, "kind">, kind: LayerEntryKind): Attributes {
  const { mtime = 0, xattrs = {} } = described;
  const time = typeof mtime === "number" ? { seconds: mtime, nanoseconds: 0 } : mtime;
  return {
    mode: described.mode ?? (kind === "directory" ? 0o755 : kind === "symlink" ? 0o777 : 0o644),
    uid: described.uid ?? 0,
    gid: described.gid ?? 0,
    mtimeSeconds: time.seconds,
    mtimeNanoseconds: time.nanoseconds,
    xattrs: new Map(
      Object.entries(xattrs).map(([name, value]) => [
        name,
        typeof value === "string" ? new TextEncoder().encode(value) : value,
      ]),
    ),
  };
}

function hardLink({ path, hardlinkTo }: MemoryHardLink, earlier: readonly LayerEntry[]): LayerEntry {
  const target = earlier.findLast((entry) => entry.path === hardlinkTo);
  if (target === undefined)
    throw new Error(`cannot link ${JSON.stringify(path)}: no earlier entry ${JSON.stringify(hardlinkTo)}`);
  const { extents: _, ...rest } = target;
  return { ...rest, path, kind: "hardlink", linkTarget: hardlinkTo, size: 0, contentOffset: 0 };
}
