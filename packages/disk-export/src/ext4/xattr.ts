import type { Entry } from "@lamella/layer-format";

import { alignUp, writeByteString } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import { shownPath } from "../entry-path.js";
import { DiskExportError } from "../errors.js";
import { encodeAcl } from "./acl.js";
import { checksumWideNumber } from "./checksum.js";
import { BLOCK_BYTES, INODE, INODE_BYTES, INODE_MAP_BYTES, XATTR_VALUE_MAX } from "./layout.js";
import type { Scratch } from "./scratch.js";
import { hashOwnValue } from "./value-inodes.js";
import type { OwnValue, ValueCollector } from "./value-inodes.js";
import type { LossCollector } from "../losses.js";

/*
 * Xattrs are kept in the inode's last 96 bytes, and what has no room there in one block. Entries grow upwards and end with four zero
 * bytes, values grow downwards from the end; both are 4-aligned. An entry:
 *
 *  +-------------+-------+--------------+-------------+------------+------+------+
 *  | name length | index | value offset | value inode | value size | hash | name |
 *  +-------------+-------+--------------+-------------+------------+------+------+
 *  0             1       2              4             8            12     16
 *
 * Value offsets count from the first entry in an inode, and from the block's start in a block. Values for which neither has room are in
 * inodes of their own: such an entry has the inode's number and no offset.
 */
const MAGIC = 0xea020000;
const MAGIC_BYTES = 4;
const ENTRY_BYTES = 16;
const END_BYTES = 4;
const BLOCK_HEADER_BYTES = 32;
const INODE_CAPACITY: number = INODE_BYTES - INODE.xattrs - MAGIC_BYTES - END_BYTES;
const BLOCK_CAPACITY: number = BLOCK_BYTES - BLOCK_HEADER_BYTES - END_BYTES;
const NAME_MAX = 255;

const ENTRY = { nameLength: 0, index: 1, valueOffset: 2, valueInode: 4, valueBytes: 8, hash: 12, name: 16 } as const;
const HEADER = { magic: 0, referenceCount: 4, blockCount: 8, hash: 12, checksum: 16 } as const;

/** `EXT4_XATTR_INDEX_*`. The two ACLs are whole names: nothing follows them. */
const NAMESPACES: readonly { prefix: string; index: number; whole?: true }[] = [
  { prefix: "user.", index: 1 },
  { prefix: "system.posix_acl_access", index: 2, whole: true },
  { prefix: "system.posix_acl_default", index: 3, whole: true },
  { prefix: "trusted.", index: 4 },
  { prefix: "security.", index: 6 },
];

interface StoredXattr {
  /** Stands for the namespace. */
  readonly index: number;
  /** Without the namespace. */
  readonly name: string;
  readonly value: Uint8Array;
  /** The value again, if it has an inode of its own. */
  readonly own?: OwnValue;
}

/** Where each xattr of an inode goes. */
export interface XattrSplit {
  readonly inode: readonly StoredXattr[];
  readonly block: readonly StoredXattr[];
}

/**
 * Finds room for an entry's xattrs: in the inode for as many as fit, then in a block. If that does not suffice, values get inodes of
 * their own, the largest first and no more of them than need be. Xattrs that the kernel's ext4 would not take either (of another
 * namespace, an ACL that is none) are noted as a loss.
 *
 * @throws {DiskExportError} `unsupported` where the room does not suffice for the names alone, or a value is too large
 */
export function splitXattrs(
  entry: Entry,
  { losses, values }: { readonly losses: LossCollector; readonly values: ValueCollector },
): XattrSplit | undefined {
  if (entry.xattrs.size === 0) return undefined;
  const xattrs = storedXattrs(entry, losses);
  if (xattrs.length === 0) return undefined;
  const bySize = xattrs
    .map((_, place) => place)
    .sort((left, right) => xattrs[right]!.value.length - xattrs[left]!.value.length);
  const outside = new Set<number>();
  for (;;) {
    // e2fsck (1.47) takes a short link's blocks for its target's, unless an xattr block tells it where they come from
    const inodeRoom = outside.size > 0 && isShortLink(entry) ? 0 : INODE_CAPACITY;
    const { inBlock, blockBytes } = fillInode(xattrs, outside, inodeRoom);
    if (blockBytes <= BLOCK_CAPACITY) {
      const stored = xattrs.map((xattr, place) =>
        outside.has(place) ? { ...xattr, own: values.add(xattr.value) } : xattr,
      );
      return {
        inode: stored.filter((_, place) => !inBlock.has(place)),
        block: stored.filter((_, place) => inBlock.has(place)),
      };
    }
    const largest = bySize[outside.size];
    if (largest === undefined || xattrs[largest]!.value.length === 0) {
      const limit = `the limit is ${BLOCK_CAPACITY}`;
      throw unsupported(entry, `the names of its xattrs take ${blockBytes} bytes beside the inode, ${limit}`);
    }
    outside.add(largest);
  }
}

/** One whose target is in the inode itself. */
function isShortLink({ kind, size }: Entry): boolean {
  return kind === "symlink" && size < INODE_MAP_BYTES;
}

/** Which xattrs, by place, the inode has no room for, and how many bytes of a block they take. */
function fillInode(
  xattrs: readonly StoredXattr[],
  outside: ReadonlySet<number>,
  inodeRoom: number,
): { inBlock: ReadonlySet<number>; blockBytes: number } {
  const inBlock = new Set<number>();
  let room = inodeRoom;
  let blockBytes = 0;
  for (const [place, { name, value }] of xattrs.entries()) {
    const needed = ENTRY_BYTES + alignUp(name.length, 4) + (outside.has(place) ? 0 : alignUp(value.length, 4));
    if (needed <= room) {
      room -= needed;
    } else {
      inBlock.add(place);
      blockBytes += needed;
    }
  }
  return { inBlock, blockBytes };
}

/**
 * Writes xattrs into the end of the zeroed inode at `at`. Hashes stay 0, as the kernel leaves them there, but for values that have inodes
 * of their own.
 */
export function writeInodeXattrs(scratch: Scratch, at: number, xattrs: readonly StoredXattr[], seed: number): void {
  if (xattrs.length === 0) return;
  const { view } = scratch;
  const first = at + INODE.xattrs + MAGIC_BYTES;
  view.setUint32(at + INODE.xattrs, MAGIC, true);
  const entries = writeXattrs(scratch, xattrs, { first, offsetBase: first, end: at + INODE_BYTES });
  xattrs.forEach((xattr, index) => {
    if (xattr.own !== undefined) view.setUint32(entries[index]! + ENTRY.hash, hashXattr(xattr, seed), true);
  });
}

/** Writes xattrs into a zeroed block at `at`, which will be block `blockNumber` of the disk. */
export function writeXattrBlock(
  scratch: Scratch,
  at: number,
  block: { readonly xattrs: readonly StoredXattr[]; readonly blockNumber: number; readonly seed: number },
): void {
  const { bytes, view } = scratch;
  view.setUint32(at + HEADER.magic, MAGIC, true);
  view.setUint32(at + HEADER.referenceCount, 1, true);
  view.setUint32(at + HEADER.blockCount, 1, true);
  const first = at + BLOCK_HEADER_BYTES;
  const entries = writeXattrs(scratch, block.xattrs, { first, offsetBase: at, end: at + BLOCK_BYTES });

  const hashes = block.xattrs.map((xattr) => hashXattr(xattr, block.seed));
  hashes.forEach((hash, index) => view.setUint32(entries[index]! + ENTRY.hash, hash, true));
  view.setUint32(at + HEADER.hash, hashBlock(hashes), true);
  const checksum = crc32c(checksumWideNumber(block.seed, block.blockNumber), bytes, at, at + BLOCK_BYTES);
  view.setUint32(at + HEADER.checksum, checksum, true);
}

/** In the order in which the kernel searches a block: by namespace, then the name's length, then its bytes. */
function storedXattrs(entry: Entry, losses: LossCollector): StoredXattr[] {
  const stored: StoredXattr[] = [];
  let hasForeign = false;
  let hasMalformed = false;
  for (const [fullName, value] of entry.xattrs) {
    const namespace = NAMESPACES.find(({ prefix, whole }) =>
      whole === true ? fullName === prefix : fullName.startsWith(prefix) && fullName.length > prefix.length,
    );
    const bytes = namespace?.whole === true ? encodeAcl(value) : value;
    if (namespace === undefined) hasForeign = true;
    else if (bytes === undefined) hasMalformed = true;
    else stored.push({ index: namespace.index, name: fullName.slice(namespace.prefix.length), value: bytes });
  }
  if (hasForeign) losses.add("xattrs outside user, trusted, security and POSIX ACLs", entry.path);
  if (hasMalformed) losses.add("malformed POSIX ACLs", entry.path);

  const longest = Math.max(0, ...stored.map(({ name }) => name.length));
  if (longest > NAME_MAX) throw unsupported(entry, `an xattr's name has ${longest} bytes, the limit is ${NAME_MAX}`);
  const largest = Math.max(0, ...stored.map(({ value }) => value.length));
  if (largest > XATTR_VALUE_MAX) {
    throw unsupported(entry, `an xattr's value has ${largest} bytes, the limit is ${XATTR_VALUE_MAX}`);
  }
  return stored.sort(compareXattrs);
}

function compareXattrs(left: StoredXattr, right: StoredXattr): number {
  const byIndexAndLength = left.index - right.index || left.name.length - right.name.length;
  if (byIndexAndLength !== 0) return byIndexAndLength;
  return left.name < right.name ? -1 : 1;
}

/** Gives where each entry begins. */
function writeXattrs(
  { bytes, view }: Scratch,
  xattrs: readonly StoredXattr[],
  area: { first: number; offsetBase: number; end: number },
): number[] {
  const entries: number[] = [];
  let at = area.first;
  let valueAt = area.end;
  for (const { index, name, value, own } of xattrs) {
    view.setUint8(at + ENTRY.nameLength, name.length);
    view.setUint8(at + ENTRY.index, index);
    view.setUint32(at + ENTRY.valueBytes, value.length, true);
    writeByteString(name, bytes, at + ENTRY.name);
    if (own !== undefined) view.setUint32(at + ENTRY.valueInode, own.inodeNumber, true);
    else if (value.length > 0) {
      valueAt -= alignUp(value.length, 4);
      view.setUint16(at + ENTRY.valueOffset, valueAt - area.offsetBase, true);
      bytes.set(value, valueAt);
    }
    entries.push(at);
    at += ENTRY_BYTES + alignUp(name.length, 4);
  }
  return entries;
}

/**
 * `ext4_xattr_hash_entry`, of a value that has its own inode by that one's hash. It takes names as unsigned characters, as Linux does since 6.2 on every machine; e2fsck (1.47) knows that
 * earlier ones differed.
 */
function hashXattr({ name, value, own }: StoredXattr, seed: number): number {
  let hash = 0;
  for (let index = 0; index < name.length; index++) {
    hash = (hash << 5) ^ (hash >>> 27) ^ name.charCodeAt(index);
  }
  if (own !== undefined) return mixWord(hash, hashOwnValue(value, seed)) >>> 0;
  for (let at = 0; at < value.length; at += 4) {
    const word = value[at]! | ((value[at + 1] ?? 0) << 8) | ((value[at + 2] ?? 0) << 16) | ((value[at + 3] ?? 0) << 24);
    hash = mixWord(hash, word);
  }
  return hash >>> 0;
}

function mixWord(hash: number, word: number): number {
  return (hash << 16) ^ (hash >>> 16) ^ word;
}

/** `ext4_xattr_rehash`: 0, which means that the block is never shared, if an entry's hash is. */
function hashBlock(hashes: readonly number[]): number {
  let result = 0;
  for (const hash of hashes) {
    if (hash === 0) return 0;
    result = mixWord(result, hash);
  }
  return result >>> 0;
}

function unsupported(entry: Entry, why: string): DiskExportError {
  return new DiskExportError("unsupported", `cannot hold ${shownPath(entry)} in ext4: ${why}`);
}
