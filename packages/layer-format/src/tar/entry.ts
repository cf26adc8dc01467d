import { prepareEntryShape } from "../entry-shape.js";
import type { FileKind } from "../file-tree.js";
import type { LayerEntry, LayerEntryKind } from "../layer.js";
import type { LayerLimits } from "../limits.js";
import type { SparseLayout } from "./sparse-map.js";
import type { TarHeader } from "./header.js";
import { TYPE } from "./layout.js";
import { checkPath, cleanPath } from "./path.js";
import type { Refuse } from "./refusal.js";
import { readMarker } from "./whiteout.js";

prepareEntryShape();

/** Linux takes -1 for "leave it as it is", so that the greatest owner is one less than what 32 bits hold. */
const MAX_OWNER = 2 ** 32 - 2;
const MAX_DEVICE = 2 ** 32 - 1;

/** The kind that a type flag stands for. `name` decides for the oldest archives, which have no flag for directories. */
export function entryKind(header: TarHeader, refuse: Refuse): FileKind | "hardlink" {
  switch (header.type) {
    case TYPE.oldFile:
      return header.name.endsWith("/") ? "directory" : "file";
    case TYPE.file:
    case TYPE.contiguous:
    case TYPE.gnuSparse:
      return "file";
    case TYPE.hardlink:
      return "hardlink";
    case TYPE.symlink:
      return "symlink";
    case TYPE.char:
      return "char";
    case TYPE.block:
      return "block";
    case TYPE.directory:
      return "directory";
    case TYPE.fifo:
      return "fifo";
    default:
      return refuse(
        "layer_invalid",
        `no layer may have an entry of type 0x${header.type.toString(16).padStart(2, "0")}`,
      );
  }
}

/**
 * The entry of a layer that a complete header describes, or undefined for one that is to be ignored: a name that is empty or
 * leads to the root (unless it is the root directory itself), and what aufs left behind.
 */
export function composeEntry(
  header: TarHeader,
  kind: FileKind | "hardlink",
  layout: SparseLayout,
  contentOffset: number,
  limits: LayerLimits,
  refuse: Refuse,
): LayerEntry | undefined {
  const path = cleanPath(header.name);
  const marker = readMarker(path, kind === "directory", refuse);
  // What a marker names may be as long as any name; the marker itself is never one of a file system.
  checkPath(marker?.path ?? path, limits, refuse);
  if (header.name === "" || marker?.kind === "ignored" || (path === "" && kind !== "directory")) return undefined;
  checkOwner(header, refuse);
  const entry = build(header, marker?.kind ?? kind, marker?.path ?? path, contentOffset, limits, refuse);
  return layout.extents === undefined || entry.kind !== "file" ? entry : { ...entry, extents: layout.extents };
}

function build(
  header: TarHeader,
  kind: LayerEntryKind,
  path: string,
  contentOffset: number,
  limits: LayerLimits,
  refuse: Refuse,
): LayerEntry {
  const isLink = kind === "symlink" || kind === "hardlink";
  const isDevice = kind === "char" || kind === "block";
  if (isLink) checkLink(header.linkName, kind, limits, refuse);
  if (isDevice) checkDevice(header, refuse);
  return {
    path,
    kind,
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    mtimeSeconds: header.mtimeSeconds,
    mtimeNanoseconds: header.mtimeNanoseconds,
    xattrs: header.xattrs,
    size: kind === "file" ? header.size : kind === "symlink" ? header.linkName.length : 0,
    linkTarget: isLink ? header.linkName : "",
    deviceMajor: isDevice ? header.deviceMajor : 0,
    deviceMinor: isDevice ? header.deviceMinor : 0,
    contentOffset,
  };
}

function checkLink(target: string, kind: LayerEntryKind, limits: LayerLimits, refuse: Refuse): void {
  if (target === "") refuse("layer_invalid", `the ${kind} has no target`);
  // Linux counts the NUL that ends a path.
  const limit = kind === "symlink" ? limits.pathBytes - 1 : limits.pathBytes;
  if (target.length > limit) refuse("layer_limit", `the target of the ${kind} has over ${limit} bytes`);
}

function checkOwner(header: TarHeader, refuse: Refuse): void {
  if (!(header.uid >= 0 && header.uid <= MAX_OWNER)) refuse("layer_invalid", `uid ${header.uid} is not one`);
  if (!(header.gid >= 0 && header.gid <= MAX_OWNER)) refuse("layer_invalid", `gid ${header.gid} is not one`);
}

function checkDevice(header: TarHeader, refuse: Refuse): void {
  for (const number of [header.deviceMajor, header.deviceMinor]) {
    if (number < 0 || number > MAX_DEVICE) refuse("layer_invalid", `device number ${number} is not one`);
  }
}
