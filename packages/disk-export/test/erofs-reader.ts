import type { FileKind } from "@lamella/layer-format";

import { sha256 } from "./bytes.js";
import { hexXattrs } from "./listing.js";
import type { Listed } from "./listing.js";

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

/** Reads an EROFS disk back, written from the format's description alone, and throws where the disk breaks a rule that a kernel relies on. */
export function readErofs(disk: Uint8Array): Listed[] {
  const image = Buffer.from(disk.buffer, disk.byteOffset, disk.byteLength);
  const superblock = image.subarray(1024, 1024 + 128);
  expectThat(superblock.readUInt32LE(0) === 0xe0f5e1e2, "the magic");
  expectThat(superblock.readUInt32LE(4) === superblockSum(image), "the superblock's checksum");
  expectThat(superblock.readUInt32LE(36) * 4096 === image.length, "the block count");
  const firstNames = new Map<number, string>();
  const listed: Listed[] = [];
  visit(superblock.readUInt16LE(14), "", undefined);
  expectThat(Number(superblock.readBigUInt64LE(16)) === firstNames.size, "the inode count");
  return listed;

  function visit(nid: number, path: string, parent: number | undefined): void {
    if (!firstNames.has(nid)) firstNames.set(nid, path);
    const inode = readInode(image, nid);
    listed.push({ path, firstName: firstNames.get(nid) ?? path, ...inode.listed });
    if (inode.listed.kind !== "directory") return;
    const dirents = readDirents(inode.data);
    const names = dirents.map(({ name }) => name);
    expectThat(names.join("/") === [...new Set(names)].sort().join("/"), "dirents in byte order");
    expectThat(dirents.find(({ name }) => name === ".")?.nid === nid, "the dot");
    expectThat(dirents.find(({ name }) => name === "..")?.nid === (parent ?? nid), "the double dot");
    for (const { name, nid: child, kind } of dirents) {
      if (name === "." || name === "..") continue;
      expectThat(kind === readInode(image, child).listed.kind, "a dirent's file type");
      visit(child, path === "" ? name : `${path}/${name}`, nid);
    }
  }
}

function readInode(image: Buffer, nid: number): { listed: Omit<Listed, "path" | "firstName">; data: Buffer } {
  const at = nid * 32;
  const inode = image.subarray(at, at + 64);
  const layout = inode.readUInt16LE(0) >> 1;
  expectThat(
    (inode.readUInt16LE(0) & 1) === 1 && (layout === 0 || layout === 2),
    "an extended inode, plain or with an inline tail",
  );
  const mode = inode.readUInt16LE(4);
  const kind = KINDS[mode >> 12] ?? "file";
  const size = Number(inode.readBigUInt64LE(8));
  const union = inode.readUInt32LE(16);
  const xattrCount = inode.readUInt16LE(2);
  const xattrsLength = xattrCount === 0 ? 0 : 12 + 4 * (xattrCount - 1);
  const data = readData(image, { at: at + 64 + xattrsLength, inline: layout === 2, size, block: union });
  const isDevice = kind === "char" || kind === "block";
  const device = isDevice ? `${(union >>> 8) & 0xfff}:${(union & 0xff) | ((union >>> 12) & 0xfff00)}` : "";
  return {
    data,
    listed: {
      kind,
      mode: mode & 0o7777,
      uid: inode.readUInt32LE(24),
      gid: inode.readUInt32LE(28),
      mtimeSeconds: Number(inode.readBigInt64LE(32)),
      mtimeNanoseconds: inode.readUInt32LE(40),
      links: inode.readUInt32LE(44),
      linkTarget: kind === "symlink" ? data.toString("latin1") : "",
      device,
      xattrs: hexXattrs(readXattrs(image.subarray(at + 64, at + 64 + xattrsLength))),
      content: kind === "file" ? { size, sha256: sha256(data) } : undefined,
    },
  };
}

function readData(
  image: Buffer,
  { at, inline, size, block }: { at: number; inline: boolean; size: number; block: number },
): Buffer {
  const tail = inline ? size % 4096 : 0;
  if (tail > 0) expectThat(Math.floor(at / 4096) === Math.floor((at + tail - 1) / 4096), "an inline tail in one block");
  const start = block * 4096;
  if (size - tail > 0) expectThat(start + size - tail <= image.length, "blocks within the disk");
  return Buffer.concat([image.subarray(start, start + size - tail), image.subarray(at, at + tail)]);
}

function readDirents(data: Buffer): { name: string; nid: number; kind: FileKind | undefined }[] {
  const dirents = [];
  for (let start = 0; start < data.length; start += 4096) {
    const block = data.subarray(start, start + 4096);
    const count = block.readUInt16LE(8) / 12;
    for (let index = 0; index < count; index++) {
      const at = 12 * index;
      const end = index + 1 < count ? block.readUInt16LE(at + 12 + 8) : block.length;
      const name = block.toString("latin1", block.readUInt16LE(at + 8), end).replace(/\0+$/, "");
      dirents.push({ name, nid: Number(block.readBigUInt64LE(at)), kind: DIRENT_KINDS[block.readUInt8(at + 10)] });
    }
  }
  return dirents;
}

function* readXattrs(area: Buffer): Generator<[string, Uint8Array]> {
  for (let at = 12; at < area.length;) {
    const nameLength = area.readUInt8(at);
    const valueLength = area.readUInt16LE(at + 2);
    const valueStart = at + 4 + nameLength;
    const name = `${PREFIXES[area.readUInt8(at + 1)]}${area.toString("latin1", at + 4, valueStart)}`;
    yield [name, area.subarray(valueStart, valueStart + valueLength)];
    at = Math.ceil((valueStart + valueLength) / 4) * 4;
  }
}

/** CRC-32C bit by bit over the superblock's block from byte 1024, its own field as zeros. */
function superblockSum(image: Buffer): number {
  let sum = 0xffffffff;
  for (let at = 1024; at < 4096; at++) {
    sum ^= at >= 1028 && at < 1032 ? 0 : image.readUInt8(at);
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0x82f63b78 : 0);
  }
  return sum >>> 0;
}

function expectThat(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`the disk is wrong: ${what}`);
}
