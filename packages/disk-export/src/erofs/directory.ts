import type { FileKind } from "@lamella/layer-format";

import { writeByteString, writeInt64 } from "../byte-layout.js";
import { inodeNid } from "./inode.js";
import type { ErofsDirectory, ErofsInode } from "./inode.js";
import { DIRENT, DIRENT_BYTES } from "./layout.js";

/** `EROFS_FT_*` */
const FILE_TYPES: Readonly<Record<FileKind, number>> = {
  file: 1,
  directory: 2,
  char: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
};

/**
 * Adds `.` and `..` and cuts the entries into blocks.
 * @returns the directory's size: whole blocks, then the bytes used of the last
 */
export function sealDirectory(
  directory: ErofsDirectory,
  self: ErofsInode,
  { parent, blockBytes }: { parent: ErofsInode; blockBytes: number },
): number {
  insertInOrder(directory, ".", self);
  insertInOrder(directory, "..", parent);
  const { names, blockStarts } = directory;
  let used = blockBytes;
  for (let index = 0; index < names.length; index++) {
    const length = DIRENT_BYTES + names[index]!.length;
    if (used + length > blockBytes) {
      blockStarts.push(index);
      used = 0;
    }
    used += length;
  }
  return (blockStarts.length - 1) * blockBytes + used;
}

/** Writes the entries of one block, without the zeros after them. */
export function writeDirents(
  { names, inodes, blockStarts }: ErofsDirectory,
  block: number,
  target: Uint8Array,
  start: number,
): void {
  const first = blockStarts[block]!;
  const end = blockStarts[block + 1] ?? names.length;
  const view = new DataView(target.buffer, target.byteOffset + start);
  let nameOffset = DIRENT_BYTES * (end - first);
  for (let index = first; index < end; index++) {
    const at = DIRENT_BYTES * (index - first);
    const name = names[index]!;
    const inode = inodes[index]!;
    writeInt64(view, at + DIRENT.nid, inodeNid(inode));
    view.setUint16(at + DIRENT.nameOffset, nameOffset, true);
    view.setUint8(at + DIRENT.fileType, FILE_TYPES[inode.entry.kind]);
    writeByteString(name, target, start + nameOffset);
    nameOffset += name.length;
  }
}

/** Whole blocks, from `first` on; zeros after the last entry of each. */
export function directoryBlocks(
  directory: ErofsDirectory,
  { first, count, blockBytes }: { first: number; count: number; blockBytes: number },
): Uint8Array {
  const bytes = new Uint8Array(count * blockBytes);
  for (let block = 0; block < count; block++) writeDirents(directory, first + block, bytes, block * blockBytes);
  return bytes;
}

function insertInOrder({ names, inodes }: ErofsDirectory, name: string, inode: ErofsInode): void {
  const found = names.findIndex((other) => other > name);
  const index = found === -1 ? names.length : found;
  names.splice(index, 0, name);
  inodes.splice(index, 0, inode);
}
