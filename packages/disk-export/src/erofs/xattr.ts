import { bytesToByteString } from "@lamella/layer-format";
import type { Entry } from "@lamella/layer-format";

import { alignUp, writeByteString } from "../byte-layout.js";
import {
  BLOCK_BYTES,
  SHARED_ID_BYTES,
  SHARED_ID_UNIT,
  XATTR_ENTRY_BYTES,
  XATTR_HEADER_BYTES,
  XATTR_NAME_MAX,
  XATTR_SHARED_COUNT,
  XATTR_VALUE_MAX,
  XATTRS_BYTES_MAX,
  XATTRS_SHARED_MAX,
} from "./layout.js";
import { shownPath } from "../entry-path.js";
import { DiskExportError } from "../errors.js";
import type { LossCollector } from "../losses.js";
import { isPosixAcl } from "../posix-acl.js";

/** Longer values are seldom equal, and the table keeps each that it has met. */
const SHARED_VALUE_MAX = 512;

interface Namespace {
  readonly prefix: string;
  readonly index: number;
  /** Nothing follows the prefix. */
  readonly whole?: true;
}

/** `EROFS_XATTR_INDEX_*`. The values of ACLs are those of `getxattr`. */
const NAMESPACES: readonly Namespace[] = [
  { prefix: "user.", index: 1 },
  { prefix: "system.posix_acl_access", index: 2, whole: true },
  { prefix: "system.posix_acl_default", index: 3, whole: true },
  { prefix: "trusted.", index: 4 },
  { prefix: "security.", index: 6 },
];

interface ErofsXattr {
  readonly index: number;
  readonly name: string;
  readonly value: Uint8Array;
}

/**
 * The xattrs of a disk. One that several inodes have, name and value, is kept once for all of them: in an area behind the inodes.
 *
 * First every inode is added, once; then the lengths are right, and the bytes once the area has its place.
 */
export interface XattrTable {
  /** @throws {DiskExportError} `unsupported` for a name, a value or a sum over the format's limits */
  add(entry: Entry, losses: LossCollector): void;
  /** How many bytes the entry's xattrs take beside its inode, their header included; 0 where there are none. */
  lengthOf(entry: Entry): number;
  /** Writes as many bytes as `lengthOf` says, for a disk on which the area begins at `areaStart`. */
  write(entry: Entry, areaStart: number, target: Uint8Array, start: number): void;
  /** How many bytes the area takes; it begins at a multiple of four. */
  areaLength(): number;
  area(): Uint8Array;
}

interface SharedXattr extends ErofsXattr {
  /** How many inodes have it. */
  count: number;
  /** In the area, in bytes; -1 before it has a place. */
  offset: number;
}

export function createXattrTable(): XattrTable {
  const candidates = new Map<string, SharedXattr>();
  let placed: { readonly shared: readonly SharedXattr[]; readonly length: number } | undefined;

  function place(): { readonly shared: readonly SharedXattr[]; readonly length: number } {
    if (placed !== undefined) return placed;
    const shared = [...candidates.values()].filter(({ count }) => count > 1);
    let length = 0;
    for (const xattr of shared) {
      xattr.offset = length;
      length += entryLength(xattr);
    }
    placed = { shared, length };
    return placed;
  }

  /** The shared ones by their offset, and those that lie beside the inode. */
  function split(entry: Entry): { offsets: number[]; own: ErofsXattr[] } {
    place();
    const offsets: number[] = [];
    const own: ErofsXattr[] = [];
    for (const xattr of knownXattrs(entry)) {
      const shared = xattr.value.length > SHARED_VALUE_MAX ? undefined : candidates.get(keyOf(xattr));
      if (shared !== undefined && shared.offset >= 0 && offsets.length < XATTRS_SHARED_MAX) offsets.push(shared.offset);
      else own.push(xattr);
    }
    return { offsets, own };
  }

  return {
    add(entry, losses) {
      if (entry.xattrs.size === 0) return;
      noteLosses(entry, losses);
      let length = XATTR_HEADER_BYTES;
      for (const xattr of knownXattrs(entry)) {
        requireAtMost(entry, "an xattr's name", xattr.name.length, XATTR_NAME_MAX);
        requireAtMost(entry, "an xattr's value", xattr.value.length, XATTR_VALUE_MAX);
        length += entryLength(xattr);
        if (xattr.value.length > SHARED_VALUE_MAX) continue;
        const key = keyOf(xattr);
        const candidate = candidates.get(key);
        if (candidate === undefined) candidates.set(key, { ...xattr, count: 1, offset: -1 });
        else candidate.count += 1;
      }
      requireAtMost(entry, "its xattrs", length, XATTRS_BYTES_MAX);
    },
    lengthOf(entry) {
      if (entry.xattrs.size === 0) return 0;
      const { offsets, own } = split(entry);
      if (offsets.length + own.length === 0) return 0;
      return own.reduce(
        (sum, xattr) => sum + entryLength(xattr),
        XATTR_HEADER_BYTES + SHARED_ID_BYTES * offsets.length,
      );
    },
    write(entry, areaStart, target, start) {
      const { offsets, own } = split(entry);
      const view = new DataView(target.buffer, target.byteOffset);
      view.setUint8(start + XATTR_SHARED_COUNT, offsets.length);
      let at = start + XATTR_HEADER_BYTES;
      for (const offset of offsets) {
        view.setUint32(at, ((areaStart % BLOCK_BYTES) + offset) / SHARED_ID_UNIT, true);
        at += SHARED_ID_BYTES;
      }
      for (const xattr of own) at = writeXattr(xattr, target, at);
    },
    areaLength: () => place().length,
    area() {
      const { shared, length } = place();
      const bytes = new Uint8Array(length);
      for (const xattr of shared) writeXattr(xattr, bytes, xattr.offset);
      return bytes;
    },
  };
}

/** @returns where the next one goes */
function writeXattr(xattr: ErofsXattr, target: Uint8Array, at: number): number {
  const { index, name, value } = xattr;
  target[at] = name.length;
  target[at + 1] = index;
  target[at + 2] = value.length & 0xff;
  target[at + 3] = value.length >>> 8;
  writeByteString(name, target, at + XATTR_ENTRY_BYTES);
  target.set(value, at + XATTR_ENTRY_BYTES + name.length);
  return at + entryLength(xattr);
}

function keyOf({ index, name, value }: ErofsXattr): string {
  return `${index} ${name.length} ${name}${bytesToByteString(value)}`;
}

function noteLosses(entry: Entry, losses: LossCollector): void {
  const names = [...entry.xattrs.keys()];
  if (names.some((name) => namespaceOf(name) === undefined))
    losses.add("xattrs outside user, trusted, security and POSIX ACLs", entry.path);
  if (names.some((name) => isMalformedAcl(entry, name))) losses.add("malformed POSIX ACLs", entry.path);
}

/** Sorted by full name, so that the bytes do not depend on the map's order. */
function knownXattrs(entry: Entry): ErofsXattr[] {
  const known: ErofsXattr[] = [];
  for (const fullName of [...entry.xattrs.keys()].sort()) {
    const namespace = namespaceOf(fullName);
    if (namespace === undefined || isMalformedAcl(entry, fullName)) continue;
    known.push({
      index: namespace.index,
      name: fullName.slice(namespace.prefix.length),
      value: entry.xattrs.get(fullName)!,
    });
  }
  return known;
}

function namespaceOf(fullName: string): Namespace | undefined {
  return NAMESPACES.find(({ prefix, whole }) => (whole ? fullName === prefix : fullName.startsWith(prefix)));
}

function isMalformedAcl(entry: Entry, fullName: string): boolean {
  return namespaceOf(fullName)?.whole === true && !isPosixAcl(entry.xattrs.get(fullName)!);
}

function entryLength({ name, value }: ErofsXattr): number {
  return alignUp(XATTR_ENTRY_BYTES + name.length + value.length, 4);
}

function requireAtMost(entry: Entry, what: string, length: number, limit: number): void {
  if (length <= limit) return;
  throw new DiskExportError(
    "unsupported",
    `cannot hold ${shownPath(entry)} in EROFS: ${what} has ${length} bytes, the limit is ${limit}`,
  );
}
