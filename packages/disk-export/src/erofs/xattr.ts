import type { Entry } from "@lamella/layer-format";

import { alignUp, writeByteString } from "../byte-layout.js";
import { XATTR_ENTRY_BYTES, XATTR_HEADER_BYTES, XATTR_NAME_MAX, XATTR_VALUE_MAX, XATTRS_BYTES_MAX } from "./layout.js";
import { shownPath } from "../entry-path.js";
import { DiskExportError } from "../errors.js";
import type { LossCollector } from "../losses.js";
import { isPosixAcl } from "../posix-acl.js";

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
 * How many bytes an inode's xattrs take, their header included; 0 where there are none.
 * @throws {DiskExportError} `unsupported` for a name, a value or a sum over the format's limits
 */
export function measureXattrs(entry: Entry, losses: LossCollector): number {
  if (entry.xattrs.size === 0) return 0;
  const names = [...entry.xattrs.keys()];
  if (names.some((name) => namespaceOf(name) === undefined))
    losses.add("xattrs outside user, trusted, security and POSIX ACLs", entry.path);
  if (names.some((name) => isMalformedAcl(entry, name))) losses.add("malformed POSIX ACLs", entry.path);
  const kept = knownXattrs(entry);
  let length = XATTR_HEADER_BYTES;
  for (const { name, value } of kept) {
    requireAtMost(entry, "an xattr's name", name.length, XATTR_NAME_MAX);
    requireAtMost(entry, "an xattr's value", value.length, XATTR_VALUE_MAX);
    length += entryLength(name, value);
  }
  requireAtMost(entry, "its xattrs", length, XATTRS_BYTES_MAX);
  return kept.length === 0 ? 0 : length;
}

/** Writes as many bytes as {@link measureXattrs} said. The header, all zeros, says that none are shared. */
export function writeXattrs(entry: Entry, target: Uint8Array, start: number): void {
  let at = start + XATTR_HEADER_BYTES;
  for (const { index, name, value } of knownXattrs(entry)) {
    target[at] = name.length;
    target[at + 1] = index;
    target[at + 2] = value.length & 0xff;
    target[at + 3] = value.length >>> 8;
    writeByteString(name, target, at + XATTR_ENTRY_BYTES);
    target.set(value, at + XATTR_ENTRY_BYTES + name.length);
    at += entryLength(name, value);
  }
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

function entryLength(name: string, value: Uint8Array): number {
  return alignUp(XATTR_ENTRY_BYTES + name.length + value.length, 4);
}

function requireAtMost(entry: Entry, what: string, length: number, limit: number): void {
  if (length <= limit) return;
  throw new DiskExportError(
    "unsupported",
    `cannot hold ${shownPath(entry)} in EROFS: ${what} has ${length} bytes, the limit is ${limit}`,
  );
}
