import { bytesToByteString } from "../byte-string.js";
import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { LayerEntry, LayerEntryKind } from "../layer.js";
import { type PaxRecord, paxTime } from "./pax-writer.js";
import { planSparse, type SparsePlan } from "./sparse-writer.js";
import { NAME } from "./layout.js";
import { OPAQUE_NAME, WHITEOUT_PREFIX } from "./whiteout.js";

/** What tar-stream takes for a header. */
export interface PlainHeader {
  readonly name: string;
  readonly type: "file" | "directory" | "symlink" | "link" | "character-device" | "block-device" | "fifo";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Date;
  readonly linkname?: string;
  readonly devmajor: number;
  readonly devminor: number;
}

/** How an entry is written: a plain header, the records for what that cannot say, and a sparse file's map. */
export interface TarPlan {
  readonly header: PlainHeader;
  readonly records: readonly PaxRecord[];
  readonly sparse?: SparsePlan | undefined;
  /** Bytes that the entry's contents have to give. */
  readonly dataBytes: number;
}

type PlannedEntry = Omit<LayerEntry, "contentOffset">;

const TYPES: Readonly<Partial<Record<LayerEntryKind, PlainHeader["type"]>>> = {
  file: "file",
  whiteout: "file",
  opaque: "file",
  directory: "directory",
  symlink: "symlink",
  hardlink: "link",
  char: "character-device",
  block: "block-device",
  fifo: "fifo",
};
/** What tar-stream writes in octal: six digits, and eleven for a size. */
const MAX_SMALL = 0o777777;
const MAX_SIZE = 0o77777777777;
/** tar-stream keeps seconds as a signed 32-bit number. */
const MAX_SECONDS = 2 ** 31 - 1;
/** tar-stream takes a mode of 0 for none at all; the bits of the file's type make it another number and are not written. */
const REGULAR = 0o100000;
const PLAIN_TEXT = /^[\x20-\x7e]*$/;
const NO_BYTES = new Uint8Array();

/**
 * What a tar is for: to be a layer, or to be unpacked at once by GNU tar, for which no name is a marker and xattrs' names are escaped.
 */
export type TarUse = "layer" | "unpacking";

/** @throws {LayerFormatError} `layer_invalid` for what no such tar can say. */
export function planEntry(entry: PlannedEntry, use: TarUse = "layer"): TarPlan {
  const type = TYPES[entry.kind];
  if (type === undefined) throw unwritable(entry, `a ${entry.kind} has no place in a tar`);
  const records: PaxRecord[] = [];
  const name = fileName(entry, use);
  const isLink = type === "symlink" || type === "link";
  if (isLink && entry.linkTarget === "") throw unwritable(entry, "the link has no target");
  const extents = entry.kind === "file" ? entry.extents : undefined;
  const sparse = extents === undefined ? undefined : planSparse(extents, entry.size);
  const plainBytes = entry.kind === "file" ? entry.size : 0;
  const dataBytes = extents?.reduce((sum, { length }) => sum + length, 0) ?? plainBytes;
  const size = sparse === undefined ? plainBytes : sparse.map.length + sparse.storedBytes;
  const header = {
    type,
    name: plainText(name, "path", records),
    ...(isLink ? { linkname: plainText(entry.linkTarget, "linkpath", records) } : {}),
    mode: entry.mode | REGULAR,
    uid: plainNumber(entry.uid, MAX_SMALL, "uid", records),
    gid: plainNumber(entry.gid, MAX_SMALL, "gid", records),
    size,
    mtime: new Date(1000 * plainTime(entry, records)),
    devmajor: deviceNumber(entry, entry.deviceMajor),
    devminor: deviceNumber(entry, entry.deviceMinor),
  };
  // The header itself holds such a size in binary form, which most readers know as well.
  if (size > MAX_SIZE) records.push(["size", String(size)]);
  if (sparse !== undefined) {
    records.push(["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.realsize", String(entry.size)]);
  }
  addXattrs(entry, records, use);
  return { header, records, sparse, dataBytes };
}

/** The name that the tar has: a directory's with a slash at its end, a whiteout's with its prefix. */
export function fileName(entry: PlannedEntry, use: TarUse = "layer"): string {
  const { path, kind } = entry;
  const slash = path.lastIndexOf("/") + 1;
  const parent = path.slice(0, slash);
  const name = path.slice(slash);
  if (kind === "opaque") return path === "" ? OPAQUE_NAME : `${path}/${OPAQUE_NAME}`;
  if (path === "" && kind !== "directory") throw unwritable(entry, "the root is a directory");
  if (kind === "directory") return path === "" ? "./" : `${path}/`;
  if (kind === "whiteout") return `${parent}${WHITEOUT_PREFIX}${name}`;
  if (use === "layer" && name.startsWith(WHITEOUT_PREFIX))
    throw unwritable(entry, `a ${kind} of such a name would be read as a whiteout`);
  return path;
}

/** A text that fits the header, or a record and what a reader without PAX may make of it. */
function plainText(text: string, keyword: string, records: PaxRecord[]): string {
  if (text.length <= NAME.length && PLAIN_TEXT.test(text)) return text;
  records.push([keyword, text]);
  return text.replaceAll(/[^\x20-\x7e]/g, "_").slice(0, NAME.length);
}

function plainNumber(value: number, most: number, keyword: string, records: PaxRecord[]): number {
  if (value <= most) return value;
  records.push([keyword, String(value)]);
  return 0;
}

function plainTime({ mtimeSeconds, mtimeNanoseconds }: PlannedEntry, records: PaxRecord[]): number {
  const fits = mtimeSeconds >= 0 && mtimeSeconds <= MAX_SECONDS;
  if (!fits || mtimeNanoseconds !== 0) records.push(["mtime", paxTime(mtimeSeconds, mtimeNanoseconds)]);
  return fits ? mtimeSeconds : 0;
}

function deviceNumber(entry: PlannedEntry, value: number): number {
  if (value > MAX_SMALL) throw unwritable(entry, `device number ${value} is over ${MAX_SMALL}`);
  return value;
}

function addXattrs(entry: PlannedEntry, records: PaxRecord[], use: TarUse): void {
  const names = [...entry.xattrs.keys()].sort();
  for (const name of names) {
    const keyword = use === "layer" ? name : name.replaceAll("%", "%25").replaceAll("=", "%3D");
    if (name === "" || /[=\0]/.test(keyword))
      throw unwritable(entry, `no tar can name extended attribute ${displayPath(name)}`);
    records.push([`SCHILY.xattr.${keyword}`, bytesToByteString(entry.xattrs.get(name) ?? NO_BYTES)]);
  }
}

export function unwritable(entry: PlannedEntry, rule: string): LayerFormatError {
  return new LayerFormatError("layer_invalid", `cannot write tar entry "${displayPath(entry.path)}": ${rule}`);
}
