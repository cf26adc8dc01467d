import type { FileKind } from "@lamella/layer-format";

import { crc32c } from "../src/crc32c.js";
import { sha256 } from "./bytes.js";
import { hexXattrs } from "./listing.js";
import type { Listed } from "./listing.js";

const BLOCK = 4096;
const KINDS: Record<number, FileKind> = {
  1: "fifo",
  2: "char",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};
const DIRENT_KINDS: (FileKind | undefined)[] = [
  undefined,
  "file",
  "directory",
  "char",
  "block",
  "fifo",
  "socket",
  "symlink",
];
const PREFIXES: Record<number, string> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
};

interface ReadInode {
  readonly listed: Omit<Listed, "path" | "firstName">;
  readonly data: Buffer;
}

/**
 * Reads an ext4 disk back, written from the format's description alone. Throws where a checksum, a count or a bitmap is wrong and where
 * a block has two owners: a small fsck for machines without e2fsck.
 */
export function readExt4(disk: Uint8Array): Listed[] {
  const image = Buffer.from(disk.buffer, disk.byteOffset, disk.byteLength);
  const superblock = image.subarray(1024, 2048);
  expectThat(superblock.readUInt16LE(56) === 0xef53, "the magic");
  expectThat(superblock.readUInt32LE(1020) === crc32c(0xffffffff, superblock, 0, 1020), "the superblock's checksum");
  const seed = crc32c(0xffffffff, superblock, 104, 120);
  const blockCount = superblock.readUInt32LE(4);
  const inodesPerGroup = superblock.readUInt32LE(40);
  const groupCount = Math.ceil(blockCount / 32768);
  const owners = new Uint8Array(blockCount);
  const names = new Map<number, number>();
  const firstNames = new Map<number, string>();
  const inodes = new Map<number, ReadInode>();
  const listed: Listed[] = [];
  const indexed = new Set<number>();
  /** Inodes of xattrs' values, and how many xattrs were found to have them. */
  const valueReferences = new Map<number, number>();

  visit(2, "", 2);
  for (const [number, { listed: inode }] of inodes) {
    const links = valueReferences.has(number) ? 1 : names.get(number);
    if (inode.kind !== "directory") expectThat(links === inode.links, `the links of inode ${number}`);
  }
  for (const [number, references] of valueReferences) {
    expectThat(inodeRaw(number).readUInt32LE(36) === references, `the references of value inode ${number}`);
  }
  ownMetadata();
  if ((superblock.readUInt32LE(92) & 4) !== 0) readJournal();
  checkGroups();
  return listed;

  function visit(number: number, path: string, parent: number): void {
    if (!firstNames.has(number)) firstNames.set(number, path);
    names.set(number, (names.get(number) ?? 0) + 1);
    const inode = inodeOf(number);
    listed.push({ path, firstName: firstNames.get(number) ?? path, ...inode.listed });
    if (inode.listed.kind !== "directory") return;
    const dirents = indexed.has(number) ? readIndexed(number, inode.data) : readDirents(number, inode.data);
    expectThat(dirents[0]?.name === "." && dirents[0].number === number, "the dot");
    expectThat(dirents[1]?.name === ".." && dirents[1].number === parent, "the double dot");
    for (const { name, number: child, kind } of dirents.slice(2)) {
      expectThat(kind === inodeOf(child).listed.kind, "a dirent's file type");
      visit(child, path === "" ? name : `${path}/${name}`, number);
    }
  }

  function inodeOf(number: number): ReadInode {
    const known = inodes.get(number) ?? readInode(number);
    inodes.set(number, known);
    return known;
  }

  function inodeRaw(number: number): Buffer {
    const group = Math.floor((number - 1) / inodesPerGroup);
    const at = descriptor(group).readUInt32LE(8) * BLOCK + ((number - 1) % inodesPerGroup) * 256;
    return image.subarray(at, at + 256);
  }

  function readInode(number: number): ReadInode {
    const raw = inodeRaw(number);
    const checked = Buffer.from(raw);
    checked.writeUInt16LE(0, 124);
    checked.writeUInt16LE(0, 130);
    const sum = crc32c(inodeSeed(number), checked);
    expectThat(
      raw.readUInt16LE(124) === (sum & 0xffff) && raw.readUInt16LE(130) === sum >>> 16,
      `inode ${number}'s checksum`,
    );

    const kind = KINDS[raw.readUInt16LE(0) >>> 12]!;
    const size = raw.readUInt32LE(4) + raw.readUInt32LE(108) * 2 ** 32;
    const owned = { blocks: 0 };
    const xattrs = readXattrs(raw, owned);
    const flags = raw.readUInt32LE(32);
    if ((flags & 0x1000) !== 0) indexed.add(number);
    const isMapped = (flags & 0x80000) !== 0;
    const data = isMapped ? readMapped(number, raw, size, owned) : raw.subarray(40, 40 + size);
    expectThat(raw.readUInt32LE(28) === owned.blocks * 8, `the sectors of inode ${number}`);
    const extra = raw.readUInt32LE(136);
    return {
      data,
      listed: {
        kind,
        mode: raw.readUInt16LE(0) & 0o7777,
        uid: raw.readUInt16LE(2) + raw.readUInt16LE(120) * 65536,
        gid: raw.readUInt16LE(24) + raw.readUInt16LE(122) * 65536,
        mtimeSeconds: raw.readInt32LE(16) + (extra & 3) * 2 ** 32,
        mtimeNanoseconds: extra >>> 2,
        links: raw.readUInt16LE(26),
        linkTarget: kind === "symlink" ? data.toString("latin1") : "",
        device: kind === "char" || kind === "block" ? readDevice(raw) : "",
        xattrs: hexXattrs(xattrs),
        content: kind === "file" ? { size, sha256: sha256(data) } : undefined,
      },
    };
  }

  function readMapped(number: number, raw: Buffer, size: number, owned: { blocks: number }): Buffer {
    const data = Buffer.alloc(size);
    readNode(raw.subarray(40, 100), 0);
    return data;

    function readNode(node: Buffer, firstLogical: number): void {
      expectThat(node.readUInt16LE(0) === 0xf30a, "an extent node's magic");
      const depth = node.readUInt16LE(6);
      const count = node.readUInt16LE(2);
      expectThat(count <= node.readUInt16LE(4), "the count of extents");
      let end = firstLogical;
      for (let entry = 12; entry < 12 + 12 * count; entry += 12) {
        const logical = node.readUInt32LE(entry);
        expectThat(logical >= end, "extents in order");
        if (depth === 0) {
          const length = node.readUInt16LE(entry + 4);
          const physical = node.readUInt32LE(entry + 8);
          own(physical, length, owned);
          image.copy(data, logical * BLOCK, physical * BLOCK, (physical + length) * BLOCK);
          end = logical + length;
        } else {
          const block = node.readUInt32LE(entry + 4);
          own(block, 1, owned);
          const child = image.subarray(block * BLOCK, (block + 1) * BLOCK);
          expectThat(child.readUInt16LE(6) === depth - 1, "an extent node's depth");
          expectThat(
            child.readUInt32LE(4092) === crc32c(inodeSeed(number), child, 0, 4092),
            "an extent block's checksum",
          );
          readNode(child, logical);
          end = logical + 1;
        }
      }
    }
  }

  function readXattrs(raw: Buffer, owned: { blocks: number }): [string, Uint8Array][] {
    const found: [string, Uint8Array][] = [];
    if (raw.readUInt32LE(160) === 0xea020000) found.push(...readXattrEntries(raw, 164, 164, readValue));
    const number = raw.readUInt32LE(104);
    if (number === 0) return found.sort(([left], [right]) => (left < right ? -1 : 1));
    own(number, 1, owned);
    const block = Buffer.from(image.subarray(number * BLOCK, (number + 1) * BLOCK));
    const sum = block.readUInt32LE(16);
    block.writeUInt32LE(0, 16);
    const prefix = Buffer.alloc(8);
    prefix.writeUInt32LE(number);
    expectThat(sum === crc32c(crc32c(seed, prefix), block), "an xattr block's checksum");
    expectThat(block.readUInt32LE(4) === 1 && block.readUInt32LE(8) === 1, "an xattr block's counts");
    found.push(...readXattrEntries(block, 32, 0, readValue));
    return found.sort(([left], [right]) => (left < right ? -1 : 1));

    function readValue(valueInode: number, size: number): Buffer {
      valueReferences.set(valueInode, (valueReferences.get(valueInode) ?? 0) + 1);
      const { data } = inodeOf(valueInode);
      expectThat(data.length === size, "the size of a value that has an inode");
      const valueRaw = inodeRaw(valueInode);
      expectThat((valueRaw.readUInt32LE(32) & 0x200000) !== 0, "the flag of a value's inode");
      expectThat(valueRaw.readUInt32LE(8) === crc32c(seed, data), "the hash of a value that has an inode");
      owned.blocks += Math.ceil(size / BLOCK);
      return data;
    }
  }

  /** Follows the index to every block of names: each once, and with ascending hashes. */
  function readIndexed(number: number, data: Buffer): { name: string; number: number; kind: FileKind | undefined }[] {
    const reached = new Set<number>();
    const leaves: Buffer[] = [];
    let hash = -1;
    expectThat(data.readUInt32LE(24) === 0 && data.readUInt8(28) === 1 && data.readUInt8(29) === 8, "an index's head");
    follow(0, 32, data.readUInt8(30));
    expectThat(reached.size === data.length / BLOCK, "that an index reaches every block");
    const own = [0, 12].map((at) => ({
      name: data.toString("latin1", at + 8, at + 8 + data.readUInt8(at + 6)),
      number: data.readUInt32LE(at),
      kind: DIRENT_KINDS[data.readUInt8(at + 7)],
    }));
    return [
      ...own,
      ...readDirents(number, Buffer.concat(leaves)).sort((left, right) => (left.name < right.name ? -1 : 1)),
    ];

    function follow(block: number, first: number, levels: number): void {
      expectThat(!reached.has(block), "that an index reaches a block once");
      reached.add(block);
      const node = data.subarray(block * BLOCK, (block + 1) * BLOCK);
      const limit = node.readUInt16LE(first);
      const count = node.readUInt16LE(first + 2);
      expectThat(limit === (4088 - first) / 8 && count <= limit, "the limit of an index block");
      const sum = crc32c(crc32c(inodeSeed(number), node, 0, first + 8 * count), Buffer.alloc(8));
      expectThat(node.readUInt32LE(4092) === sum, "an index block's checksum");
      for (let entry = 0; entry < count; entry++) {
        const at = first + 8 * entry;
        if (entry > 0) {
          expectThat(node.readUInt32LE(at) > hash, "the hashes of an index in order");
          hash = node.readUInt32LE(at);
        }
        const child = node.readUInt32LE(at + 4);
        if (levels > 0) {
          expectThat(data.readUInt16LE(child * BLOCK + 4) === BLOCK, "an index block's own entry");
          follow(child, 8, levels - 1);
          continue;
        }
        reached.add(child);
        leaves.push(data.subarray(child * BLOCK, (child + 1) * BLOCK));
      }
    }
  }

  /** The journal is empty, and the superblock's copy of where it lies is right. */
  function readJournal(): void {
    expectThat(superblock.readUInt32LE(0xe0) === 8 && superblock.readUInt8(0xfd) === 1, "the journal's number");
    const raw = inodeRaw(8);
    const { data } = readInode(8);
    const backup = Buffer.concat([raw.subarray(40, 100), raw.subarray(108, 112), raw.subarray(4, 8)]);
    expectThat(backup.equals(superblock.subarray(0x10c, 0x10c + 68)), "the journal's backup");
    expectThat(data.readUInt32BE(0) === 0xc03b3998 && data.readUInt32BE(4) === 4, "the journal's magic");
    expectThat(data.readUInt32BE(12) === BLOCK && data.readUInt32BE(16) * BLOCK === data.length, "the journal's size");
    expectThat(data.readUInt32BE(20) === 1 && data.readUInt32BE(28) === 0, "that the journal is empty");
    expectThat(data.subarray(48, 64).equals(superblock.subarray(104, 120)), "the journal's UUID");
    expectThat(data.readUInt32BE(64) === 1, "the journal's users");
    expectThat(
      data.subarray(BLOCK).every((byte) => byte === 0),
      "that the journal has nothing but zeros",
    );
  }

  function readDirents(number: number, data: Buffer): { name: string; number: number; kind: FileKind | undefined }[] {
    const dirents: { name: string; number: number; kind: FileKind | undefined }[] = [];
    for (let start = 0; start < data.length; start += BLOCK) {
      const block = data.subarray(start, start + BLOCK);
      expectThat(
        block.readUInt32LE(4092) === crc32c(inodeSeed(number), block, 0, 4084),
        "a directory block's checksum",
      );
      let at = 0;
      while (at < 4084) {
        const child = block.readUInt32LE(at);
        const name = block.toString("latin1", at + 8, at + 8 + block.readUInt8(at + 6));
        if (child !== 0) dirents.push({ name, number: child, kind: DIRENT_KINDS[block.readUInt8(at + 7)] });
        at += block.readUInt16LE(at + 4);
      }
      expectThat(
        at === 4084 && block.readUInt16LE(4088) === 12 && block.readUInt8(4091) === 0xde,
        "a directory block's tail",
      );
    }
    return dirents;
  }

  function ownMetadata(): void {
    const headBlocks = 1 + Math.ceil(groupCount / 64) + superblock.readUInt16LE(206);
    for (let group = 0; group < groupCount; group++) {
      if (group <= 1 || isPowerOfAny([3, 5, 7], group)) own(group * 32768, headBlocks);
      const raw = descriptor(group);
      own(raw.readUInt32LE(0), 1);
      own(raw.readUInt32LE(4), 1);
      own(raw.readUInt32LE(8), (inodesPerGroup * 256) / BLOCK);
    }
    if ((superblock.readUInt32LE(92) & 0x10) === 0) return;
    const resizeInode = image.subarray(descriptor(0).readUInt32LE(8) * BLOCK + 6 * 256);
    own(resizeInode.readUInt32LE(40 + 13 * 4), 1);
  }

  function checkGroups(): void {
    let free = 0;
    for (let group = 0; group < groupCount; group++) {
      const raw = Buffer.from(descriptor(group));
      const sum = raw.readUInt16LE(30);
      raw.writeUInt16LE(0, 30);
      const number = Buffer.alloc(4);
      number.writeUInt32LE(group);
      expectThat(sum === (crc32c(crc32c(seed, number), raw) & 0xffff), "a descriptor's checksum");
      const used = owners.subarray(group * 32768, (group + 1) * 32768);
      const groupFree = used.filter((owner) => owner === 0).length;
      expectThat(raw.readUInt16LE(12) === groupFree, "the free blocks of a group");
      free += groupFree;
      if ((raw.readUInt16LE(18) & 2) === 0) checkBlockBitmap(raw, used);
      if ((raw.readUInt16LE(18) & 1) === 0) checkInodeBitmap(raw, group);
    }
    expectThat(superblock.readUInt32LE(12) === free, "the free blocks");
    expectThat(superblock.readUInt32LE(0) - superblock.readUInt32LE(16) === 10 + usedInodes(), "the free inodes");
  }

  function usedInodes(): number {
    return [...inodes.keys()].filter((number) => number > 10).length;
  }

  function checkBlockBitmap(raw: Buffer, used: Uint8Array): void {
    const at = raw.readUInt32LE(0) * BLOCK;
    const bitmap = image.subarray(at, at + BLOCK);
    const sum = crc32c(seed, bitmap);
    expectThat(
      raw.readUInt16LE(24) === (sum & 0xffff) && raw.readUInt16LE(56) === sum >>> 16,
      "a block bitmap's checksum",
    );
    for (let block = 0; block < 32768; block++) {
      const bit = (bitmap[block >>> 3]! >>> (block & 7)) & 1;
      expectThat(bit === (used[block] ?? 1), `the bitmap at block ${block} of a group`);
    }
  }

  function checkInodeBitmap(raw: Buffer, group: number): void {
    const at = raw.readUInt32LE(4) * BLOCK;
    const bitmap = image.subarray(at, at + BLOCK);
    const sum = crc32c(seed, bitmap, 0, inodesPerGroup / 8);
    expectThat(
      raw.readUInt16LE(26) === (sum & 0xffff) && raw.readUInt16LE(58) === sum >>> 16,
      "an inode bitmap's checksum",
    );
    for (let index = 0; index < 32768; index++) {
      const number = group * inodesPerGroup + index + 1;
      const used = index >= inodesPerGroup || number <= 10 || inodes.has(number);
      expectThat(((bitmap[index >>> 3]! >>> (index & 7)) & 1) === Number(used), `the bitmap at inode ${number}`);
    }
  }

  function own(start: number, length: number, owned?: { blocks: number }): void {
    for (let block = start; block < start + length; block++) {
      expectThat(block < blockCount && owners[block] === 0, `that block ${block} has one owner`);
      owners[block] = 1;
    }
    if (owned !== undefined) owned.blocks += length;
  }

  function descriptor(group: number): Buffer {
    return image.subarray(BLOCK + group * 64, BLOCK + (group + 1) * 64);
  }

  function inodeSeed(number: number): number {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(number);
    return crc32c(seed, bytes);
  }
}

function readXattrEntries(
  area: Buffer,
  first: number,
  base: number,
  readValue: (inode: number, size: number) => Buffer,
): [string, Uint8Array][] {
  const found: [string, Uint8Array][] = [];
  for (let at = first; area.readUInt32LE(at) !== 0;) {
    const nameLength = area.readUInt8(at);
    const index = area.readUInt8(at + 1);
    const valueAt = base + area.readUInt16LE(at + 2);
    const size = area.readUInt32LE(at + 8);
    const valueInode = area.readUInt32LE(at + 4);
    const stored = valueInode === 0 ? area.subarray(valueAt, valueAt + size) : readValue(valueInode, size);
    const name = `${PREFIXES[index]}${area.toString("latin1", at + 16, at + 16 + nameLength)}`;
    found.push([name, index === 2 || index === 3 ? longAcl(stored) : stored]);
    at += 16 + Math.ceil(nameLength / 4) * 4;
  }
  return found;
}

/** An ACL as `getxattr` gives it. */
function longAcl(stored: Buffer): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from([2, 0, 0, 0])];
  for (let at = 4; at < stored.length;) {
    const tag = stored.readUInt16LE(at);
    const hasId = tag === 2 || tag === 8;
    const id = hasId ? stored.subarray(at + 4, at + 8) : Buffer.alloc(4, 0xff);
    parts.push(stored.subarray(at, at + 4), id);
    at += hasId ? 8 : 4;
  }
  return Buffer.concat(parts);
}

function readDevice(raw: Buffer): string {
  const old = raw.readUInt32LE(40);
  if (old !== 0) return `${old >>> 8}:${old & 0xff}`;
  const number = raw.readUInt32LE(44);
  return `${(number >>> 8) & 0xfff}:${(number & 0xff) | ((number >>> 12) & ~0xff)}`;
}

function isPowerOfAny(bases: readonly number[], value: number): boolean {
  return bases.some((base) => base ** Math.round(Math.log(value) / Math.log(base)) === value);
}

function expectThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(`the disk breaks ${what}`);
}
