import type { FileKind } from "@lamella/layer-format";

import { sha256 } from "./bytes.js";
import { readCompressedData } from "./erofs-compressed.js";
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
  const hasSum = (superblock.readUInt32LE(8) & 1) === 1;
  expectThat(superblock.readUInt32LE(4) === (hasSum ? superblockSum(image) : 0), "the superblock's checksum");
  const blocks = superblock.readUInt32LE(36) + readDevices(image).reduce((sum, device) => sum + device.blocks, 0);
  expectThat(blocks * blockSize(image) === image.length, "the block count");
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
    const dirents = readDirents(inode.data, blockSize(image));
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
    (inode.readUInt16LE(0) & 1) === 1 && [0, 2, 3, 4].includes(layout),
    "an extended inode, plain, with an inline tail, compressed or in chunks",
  );
  const mode = inode.readUInt16LE(4);
  const kind = KINDS[mode >> 12] ?? "file";
  const size = Number(inode.readBigUInt64LE(8));
  const union = inode.readUInt32LE(16);
  const xattrCount = inode.readUInt16LE(2);
  const xattrsLength = xattrCount === 0 ? 0 : 12 + 4 * (xattrCount - 1);
  const headEnd = at + 64 + xattrsLength;
  const data =
    layout === 3
      ? readCompressed(image, headEnd, size, union)
      : layout === 4
        ? readChunks(image, headEnd, size, union)
        : readData(image, { at: headEnd, inline: layout === 2, size, block: union });
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
      xattrs: hexXattrs(readXattrs(image, image.subarray(at + 64, at + 64 + xattrsLength))),
      content: kind === "file" ? { size, sha256: sha256(data) } : undefined,
    },
  };
}

function readCompressed(image: Buffer, headEnd: number, size: number, blockCount: number): Buffer {
  const { data, blocks } = readCompressedData(image, headEnd, size);
  expectThat(blocks === blockCount, "the count of compressed blocks");
  return data;
}

function readData(
  image: Buffer,
  { at, inline, size, block }: { at: number; inline: boolean; size: number; block: number },
): Buffer {
  const unit = blockSize(image);
  const tail = inline ? size % unit : 0;
  if (tail > 0) expectThat(Math.floor(at / unit) === Math.floor((at + tail - 1) / unit), "an inline tail in one block");
  const start = block * unit;
  if (size - tail > 0) expectThat(start + size - tail <= image.length, "blocks within the disk");
  return Buffer.concat([image.subarray(start, start + size - tail), image.subarray(at, at + tail)]);
}

function blockSize(image: Buffer): number {
  return 2 ** image.readUInt8(1024 + 12);
}

/** The devices behind the disk that the disk itself ends with. */
function readDevices(image: Buffer): { blocks: number; first: number }[] {
  const start = 128 * image.readUInt16LE(1024 + 88);
  return Array.from({ length: image.readUInt16LE(1024 + 86) }, (_, index) => ({
    blocks: image.readUInt32LE(start + 128 * index + 64),
    first: image.readUInt32LE(start + 128 * index + 68),
  }));
}

function readChunks(image: Buffer, headEnd: number, size: number, format: number): Buffer {
  expectThat((format & ~0x3f) === 0, "chunks of a known form");
  const unit = blockSize(image);
  const chunk = unit * 2 ** (format & 0x1f);
  const parts: Buffer[] = [];
  if ((format & 0x20) === 0) {
    for (let at = 0, address = headEnd; at < size; at += chunk, address += 4) {
      const block = image.readUInt32LE(address);
      const length = Math.min(chunk, size - at);
      expectThat(block === 0xffffffff || block * unit + length <= image.length, "a chunk within the disk");
      parts.push(block === 0xffffffff ? Buffer.alloc(length) : image.subarray(block * unit, block * unit + length));
    }
    return Buffer.concat(parts);
  }
  for (let at = 0, index = Math.ceil(headEnd / 8) * 8; at < size; at += chunk, index += 8) {
    const device = readDevices(image)[image.readUInt16LE(index + 2) - 1];
    const first = image.readUInt32LE(index + 4);
    const length = Math.min(chunk, size - at);
    expectThat(device !== undefined && first * unit + length <= device.blocks * unit, "a chunk within its device");
    const start = (device.first + first) * unit;
    parts.push(image.subarray(start, start + length));
  }
  return Buffer.concat(parts);
}

function readDirents(data: Buffer, unit: number): { name: string; nid: number; kind: FileKind | undefined }[] {
  const dirents = [];
  for (let start = 0; start < data.length; start += unit) {
    const block = data.subarray(start, start + unit);
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

function* readXattrs(image: Buffer, body: Buffer): Generator<[string, Uint8Array]> {
  if (body.length === 0) return;
  const sharedCount = body.readUInt8(4);
  const sharedBlock = image.readUInt32LE(1024 + 44);
  for (let index = 0; index < sharedCount; index++) {
    yield readXattr(image, sharedBlock * blockSize(image) + body.readUInt32LE(12 + 4 * index) * 4).xattr;
  }
  for (let at = 12 + 4 * sharedCount; at < body.length;) {
    const { xattr, end } = readXattr(body, at);
    yield xattr;
    at = end;
  }
}

function readXattr(area: Buffer, at: number): { xattr: [string, Uint8Array]; end: number } {
  const nameLength = area.readUInt8(at);
  const valueLength = area.readUInt16LE(at + 2);
  const valueStart = at + 4 + nameLength;
  const name = `${PREFIXES[area.readUInt8(at + 1)]}${area.toString("latin1", at + 4, valueStart)}`;
  const end = Math.ceil((valueStart + valueLength) / 4) * 4;
  return { xattr: [name, area.subarray(valueStart, valueStart + valueLength)], end };
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
