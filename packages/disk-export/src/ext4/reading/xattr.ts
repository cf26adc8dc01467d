import { bytesToByteString } from "@lamella/layer-format";

import { crc32c } from "../../crc32c.js";
import { diskInvalid, viewOf } from "../../reading/metadata.js";
import { decodeAcl } from "../acl.js";
import { checksumWideNumber } from "../checksum.js";
import type { Ext4Inode } from "./inode.js";
import type { Ext4Volume } from "./superblock.js";

const MAGIC = 0xea020000;
const MAGIC_BYTES = 4;
const ENTRY_BYTES = 16;
const BLOCK_HEADER_BYTES = 32;
const BLOCK_CHECKSUM = 16;
/** `XATTR_SIZE_MAX` of Linux. */
const VALUE_BYTES_MAX = 64 << 10;

/** `EXT4_XATTR_INDEX_*`; of others Linux shows none either. */
const PREFIXES: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
};
const ACL_INDEXES: ReadonlySet<number> = new Set([2, 3]);
const SYSTEM_INDEX = 7;
const INLINE_DATA_NAME = "data";

/** The xattrs of an inode, and where the rest of its inline data is: ext4 keeps that as one of them. */
interface Ext4Xattrs {
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** On the disk. */
  readonly inlineData: { readonly offset: number; readonly length: number } | undefined;
}

interface FoundXattr {
  readonly index: number;
  readonly name: string;
  readonly value: Uint8Array;
  /** On the disk; undefined of a value that has an inode of its own. */
  readonly offset: number | undefined;
}

export interface Ext4XattrReader {
  /** @throws {DiskExportError} `disk_invalid` */
  read(inode: Ext4Inode): Promise<Ext4Xattrs>;
}

const NO_XATTRS: Ext4Xattrs = { xattrs: new Map(), inlineData: undefined };

/** @param readValue - all bytes of the inode that holds a value, of this length */
export function createXattrReader(
  volume: Ext4Volume,
  readValue: (inode: number, length: number) => Promise<Uint8Array>,
): Ext4XattrReader {
  const { metadata, blockBytes } = volume;
  /** Inodes with the same xattrs share a block, and values. */
  const blocks = new Map<number, readonly FoundXattr[]>();
  const values = new Map<number, Uint8Array>();

  async function readArea(what: string, area: Area): Promise<FoundXattr[]> {
    const { bytes, first, valueBase, position } = area;
    const view = viewOf(bytes);
    const found: FoundXattr[] = [];
    for (let at = first; ;) {
      // The last entry may end where the area does.
      if (at + 4 > bytes.length || view.getUint32(at, true) === 0) return found;
      const nameLength = view.getUint8(at);
      if (at + ENTRY_BYTES + nameLength > bytes.length) throw diskInvalid(metadata.format, what, "an xattr is damaged");
      const index = view.getUint8(at + 1);
      const start = valueBase + view.getUint16(at + 2, true);
      const valueInode = view.getUint32(at + 4, true);
      const length = view.getUint32(at + 8, true);
      if (length > VALUE_BYTES_MAX || (valueInode === 0 && length > 0 && start + length > bytes.length))
        throw diskInvalid(metadata.format, what, "an xattr's value is damaged");
      const nameStart = at + ENTRY_BYTES;
      found.push({
        index,
        name: bytesToByteString(bytes.subarray(nameStart, nameStart + nameLength)),
        // A copy: the bytes around it need not stay.
        value: valueInode === 0 ? bytes.slice(start, start + length) : await valueOf(what, valueInode, length),
        offset: valueInode === 0 ? position + start : undefined,
      });
      at = nameStart + Math.ceil(nameLength / 4) * 4;
    }
  }

  async function valueOf(what: string, inode: number, length: number): Promise<Uint8Array> {
    const value = values.get(inode) ?? (await readValue(inode, length));
    values.set(inode, value);
    if (value.length !== length) throw diskInvalid(metadata.format, what, "an xattr's value has another length");
    return value;
  }

  async function readBlock(what: string, block: number): Promise<readonly FoundXattr[]> {
    const known = blocks.get(block);
    if (known !== undefined) return known;
    if (block >= volume.blockCount)
      throw diskInvalid(metadata.format, what, `its xattrs' block ${block} is not on the disk`);
    const position = block * blockBytes;
    const bytes = await metadata.read(what, position, blockBytes);
    const view = viewOf(bytes);
    if (view.getUint32(0, true) !== MAGIC || view.getUint32(8, true) !== 1)
      throw diskInvalid(metadata.format, what, `its xattrs' block ${block} is none`);
    if (volume.seed !== undefined && blockChecksum(bytes, block, volume.seed) !== view.getUint32(BLOCK_CHECKSUM, true))
      throw diskInvalid(metadata.format, what, "the checksum of its xattrs' block is wrong");
    const found = await readArea(what, { bytes, first: BLOCK_HEADER_BYTES, valueBase: 0, position });
    blocks.set(block, found);
    return found;
  }

  return {
    async read(inode) {
      const what = `inode ${inode.number}`;
      const { tail } = inode;
      const hasOwn = tail.length >= 2 * MAGIC_BYTES && viewOf(tail).getUint32(0, true) === MAGIC;
      if (!hasOwn && inode.xattrBlock === 0) return NO_XATTRS;
      const position = inode.position + volume.inodeBytes - tail.length;
      const area = { bytes: tail, first: MAGIC_BYTES, valueBase: MAGIC_BYTES, position };
      const own = hasOwn ? await readArea(what, area) : [];
      const others = inode.xattrBlock === 0 ? [] : await readBlock(what, inode.xattrBlock);
      metadata.charge(what, ENTRY_BYTES * others.length);
      return decode(what, [...own, ...others]);
    },
  };

  function decode(what: string, found: readonly FoundXattr[]): Ext4Xattrs {
    const xattrs = new Map<string, Uint8Array>();
    let inlineData: Ext4Xattrs["inlineData"];
    for (const { index, name, value, offset } of found) {
      if (index === SYSTEM_INDEX && name === INLINE_DATA_NAME && offset !== undefined)
        inlineData = { offset, length: value.length };
      const prefix = PREFIXES[index];
      if (prefix === undefined) continue;
      const decoded = ACL_INDEXES.has(index) ? decodeAcl(value) : value;
      if (decoded === undefined) throw diskInvalid(metadata.format, what, "an ACL is damaged");
      xattrs.set(prefix + name, decoded);
    }
    return { xattrs, inlineData };
  }
}

interface Area {
  readonly bytes: Uint8Array;
  /** Where the first entry is, and what offsets of values count from. */
  readonly first: number;
  readonly valueBase: number;
  /** Of the bytes on the disk. */
  readonly position: number;
}

function blockChecksum(bytes: Uint8Array, block: number, seed: number): number {
  const blank = Uint8Array.from(bytes);
  blank.fill(0, BLOCK_CHECKSUM, BLOCK_CHECKSUM + 4);
  return crc32c(checksumWideNumber(seed, block), blank);
}
