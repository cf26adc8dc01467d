import { bytesToByteString } from "@lamella/layer-format";

import { alignUp } from "../../byte-layout.js";
import { diskInvalid, viewOf } from "../../reading/metadata.js";
import {
  SHARED_ID_BYTES,
  SHARED_ID_UNIT,
  XATTR_ENTRY_BYTES,
  XATTR_HEADER_BYTES,
  XATTR_SHARED_COUNT,
} from "../layout.js";
import type { ErofsDiskInode } from "./inode.js";
import type { ErofsVolume } from "./superblock.js";

/** `EROFS_XATTR_INDEX_*`; of others Linux shows none either. */
const PREFIXES: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
};
const LONG_PREFIX = 0x80;

interface FoundXattr {
  /** Undefined where Linux would not show it. */
  readonly name: string | undefined;
  readonly value: Uint8Array;
}

/** The start of a name that many xattrs have. */
export interface LongPrefix {
  readonly index: number;
  readonly infix: string;
}

export interface ErofsXattrReader {
  /** @throws {DiskExportError} `disk_invalid` */
  read(inode: ErofsDiskInode): Promise<ReadonlyMap<string, Uint8Array>>;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

export function createErofsXattrReader(volume: ErofsVolume, longPrefixes: readonly LongPrefix[]): ErofsXattrReader {
  const { metadata, sharedXattrsStart } = volume;
  const shared = new Map<number, FoundXattr>();

  function nameOf(index: number, suffix: string): string | undefined {
    if ((index & LONG_PREFIX) === 0) {
      const prefix = PREFIXES[index];
      return prefix === undefined ? undefined : prefix + suffix;
    }
    const long = longPrefixes[index & ~LONG_PREFIX];
    const prefix = long === undefined ? undefined : PREFIXES[long.index];
    return long === undefined || prefix === undefined ? undefined : prefix + long.infix + suffix;
  }

  async function readShared(what: string, id: number): Promise<FoundXattr> {
    const known = shared.get(id);
    if (known !== undefined) return known;
    const position = sharedXattrsStart + id * SHARED_ID_UNIT;
    const head = await metadata.read(what, position, XATTR_ENTRY_BYTES);
    const length = entryLength(head, 0);
    const found = decode(await metadata.read(what, position, length), 0);
    shared.set(id, found);
    return found;
  }

  function decode(bytes: Uint8Array, at: number): FoundXattr {
    const nameStart = at + XATTR_ENTRY_BYTES;
    const nameEnd = nameStart + bytes[at]!;
    return {
      name: nameOf(bytes[at + 1]!, bytesToByteString(bytes.subarray(nameStart, nameEnd))),
      value: bytes.slice(nameEnd, at + entryLength(bytes, at)),
    };
  }

  return {
    async read({ nid, xattrsStart, end }) {
      if (end === xattrsStart) return NO_XATTRS;
      const what = `inode ${nid}`;
      const bytes = await metadata.read(what, xattrsStart, end - xattrsStart);
      const sharedCount = bytes[XATTR_SHARED_COUNT]!;
      let at = XATTR_HEADER_BYTES + SHARED_ID_BYTES * sharedCount;
      if (at > bytes.length) throw diskInvalid(metadata.format, what, "its list of shared xattrs is damaged");
      const found: FoundXattr[] = [];
      for (let id = XATTR_HEADER_BYTES; id < at; id += SHARED_ID_BYTES)
        found.push(await readShared(what, viewOf(bytes).getUint32(id, true)));
      while (at + XATTR_ENTRY_BYTES <= bytes.length) {
        const length = entryLength(bytes, at);
        if (at + length > bytes.length) throw diskInvalid(metadata.format, what, "an xattr is damaged");
        // All zeros are padding.
        if (length > XATTR_ENTRY_BYTES || bytes[at + 1] !== 0) found.push(decode(bytes, at));
        at += alignUp(length, 4);
      }
      return new Map(found.flatMap(({ name, value }) => (name === undefined ? [] : [[name, value]])));
    },
  };
}

/** Cuts a table of long prefixes, each of which has its length in front and begins at a multiple of four; undefined where it is damaged. */
export function decodePrefixes(bytes: Uint8Array, count: number): LongPrefix[] | undefined {
  const prefixes: LongPrefix[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 3 > bytes.length) return undefined;
    const length = viewOf(bytes).getUint16(at, true);
    if (length === 0 || at + 2 + length > bytes.length) return undefined;
    prefixes.push({ index: bytes[at + 2]!, infix: bytesToByteString(bytes.subarray(at + 3, at + 2 + length)) });
    at += alignUp(2 + length, 4);
  }
  return prefixes;
}

/** Of an entry without what pads it. */
function entryLength(bytes: Uint8Array, at: number): number {
  return XATTR_ENTRY_BYTES + bytes[at]! + viewOf(bytes).getUint16(at + 2, true);
}
