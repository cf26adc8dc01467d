import { prepareEntryShape } from "../entry-shape.js";
import type { LayerEntry, LayerEntryKind } from "../layer.js";
import type { LayerLimits } from "../limits.js";
import { checkPath, cleanPath } from "../tar/path.js";
import type { Refuse } from "../tar/refusal.js";
import { readMarker } from "../tar/whiteout.js";
import { type RawTocEntry, tocName, tocNumber, tocText, tocXattrs } from "./fields.js";
import { parseTocTime } from "./time.js";

prepareEntryShape();

const KINDS: Readonly<Record<string, LayerEntryKind>> = {
  reg: "file",
  dir: "directory",
  symlink: "symlink",
  hardlink: "hardlink",
  char: "char",
  block: "block",
  fifo: "fifo",
};
/** As for a tar's entries: see `checkOwner` there. */
const MAX_OWNER = 2 ** 32 - 2;
const MAX_DEVICE = 2 ** 32 - 1;
const UP = /(?:^|\/)\.\.(?:\/|$)/;

/** The path of an entry as its tar would have it, a whiteout's with its prefix. */
export function readTocPath(raw: RawTocEntry, limits: LayerLimits, refuse: Refuse): string {
  const name = tocName(raw, "name", "lamellaName", refuse);
  if (name === "") refuse("toc_invalid", "it has no name");
  if (name.includes("\0")) refuse("toc_invalid", "its name has a NUL");
  if (name.includes("..") && UP.test(name)) refuse("toc_invalid", "its name leads upwards");
  const path = cleanPath(name);
  checkPath(path, limits, refuse);
  return path;
}

/** The entry of a layer that one of a table describes, chunks apart; undefined for what aufs left behind. */
export function readTocEntry(
  raw: RawTocEntry,
  path: string,
  contentOffset: number,
  limits: LayerLimits,
  refuse: Refuse,
): LayerEntry | undefined {
  const type = tocText(raw.type, "type", refuse);
  const plainKind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (plainKind === undefined) return refuse("toc_invalid", "its type is not known");
  if (path === "" && plainKind !== "directory") refuse("toc_invalid", "the root is not a directory");
  const marker = readMarker(path, plainKind === "directory", refuse);
  if (marker?.kind === "ignored") return undefined;
  const kind = marker?.kind ?? plainKind;
  const time = readTime(raw, refuse);
  const linkTarget = kind === "symlink" || kind === "hardlink" ? readLink(raw, kind, limits, refuse) : "";
  const isDevice = kind === "char" || kind === "block";
  return {
    path: marker?.path ?? path,
    kind,
    mode: tocNumber(raw.mode, "mode", refuse) & 0o7777,
    uid: tocNumber(raw.uid, "uid", refuse, MAX_OWNER),
    gid: tocNumber(raw.gid, "gid", refuse, MAX_OWNER),
    mtimeSeconds: time.seconds,
    mtimeNanoseconds: time.nanoseconds,
    xattrs: tocXattrs(raw, limits, refuse),
    size: kind === "file" ? tocNumber(raw.size, "size", refuse) : kind === "symlink" ? linkTarget.length : 0,
    linkTarget,
    deviceMajor: isDevice ? tocNumber(raw.devMajor, "devMajor", refuse, MAX_DEVICE) : 0,
    deviceMinor: isDevice ? tocNumber(raw.devMinor, "devMinor", refuse, MAX_DEVICE) : 0,
    contentOffset,
  };
}

/** "Empty means zero or unknown". */
function readTime(raw: RawTocEntry, refuse: Refuse): { seconds: number; nanoseconds: number } {
  const text = tocText(raw.modtime, "modtime", refuse);
  if (text === "") return { seconds: 0, nanoseconds: 0 };
  return parseTocTime(text) ?? refuse("toc_invalid", "its modtime is not a time of RFC 3339");
}

function readLink(raw: RawTocEntry, kind: LayerEntryKind, limits: LayerLimits, refuse: Refuse): string {
  const target = tocName(raw, "linkName", "lamellaLinkName", refuse);
  if (target === "" || target.includes("\0")) refuse("toc_invalid", `the ${kind} has no target`);
  const limit = kind === "symlink" ? limits.pathBytes - 1 : limits.pathBytes;
  if (target.length > limit) refuse("layer_limit", `the target of the ${kind} has over ${limit} bytes`);
  return target;
}
