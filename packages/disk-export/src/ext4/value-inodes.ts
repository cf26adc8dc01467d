import { bytesToByteString } from "@lamella/layer-format";

import { crc32c } from "../crc32c.js";
import { BLOCK_BYTES, INODE } from "./layout.js";

/**
 * An xattr's value that has an inode of its own (`ea_inode`): the inode's contents are the value, its time of access the value's
 * checksum, its version how many xattrs have it.
 */
export interface OwnValue {
  readonly bytes: Uint8Array;
  references: number;
  /** Known once the tree was read. */
  inodeNumber: number;
}

/** Gathers such values; equal ones share an inode. */
export interface ValueCollector {
  /** One more xattr has this value. */
  add(bytes: Uint8Array): OwnValue;
  /** In the order in which they came. */
  list(): Iterable<OwnValue>;
}

export function createValueCollector(): ValueCollector {
  const values = new Map<string, OwnValue>();
  return {
    add(bytes) {
      const key = bytesToByteString(bytes);
      let value = values.get(key);
      if (value === undefined) {
        value = { bytes, references: 0, inodeNumber: 0 };
        values.set(key, value);
      }
      value.references += 1;
      return value;
    },
    list: () => values.values(),
  };
}

/** How many blocks a value takes. */
export function countValueBlocks(bytes: Uint8Array): number {
  return Math.ceil(bytes.length / BLOCK_BYTES);
}

/** What the entry of an xattr and the inode of its value both know of it (`ext4_xattr_inode_hash`). */
export function hashOwnValue(bytes: Uint8Array, seed: number): number {
  return crc32c(seed, bytes);
}

/** Writes what tells a value's inode from a file's, whose times are zeros. */
export function writeValueFields(view: DataView, at: number, { bytes, references }: OwnValue, seed: number): void {
  view.setUint32(at + INODE.accessTime, hashOwnValue(bytes, seed), true);
  view.setUint32(at + INODE.version, references, true);
}
