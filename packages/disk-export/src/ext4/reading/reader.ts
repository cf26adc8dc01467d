import { bytesToByteString } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { decodeDevice, NO_DEVICE } from "../../reading/inode-kind.js";
import type { DeviceNumber } from "../../reading/inode-kind.js";
import { createDiskMetadata, diskInvalid, viewOf } from "../../reading/metadata.js";
import type { DiskMetadata } from "../../reading/metadata.js";
import { addRun, dataExtents, firstDiskOffset, readRuns } from "../../reading/runs.js";
import type { Runs } from "../../reading/runs.js";
import type { DiskSource } from "../../reading/source.js";
import { readDiskTree } from "../../reading/tree.js";
import type { DiskInode, DiskName } from "../../reading/tree.js";
import { FIRST_INODE, INODE_MAP_BYTES, LINK_TARGET_MAX, ROOT_INODE } from "../layout.js";
import { readDirectoryBlock, readEntries } from "./directory.js";
import { createInodeReader, INODE_FLAG } from "./inode.js";
import type { Ext4Inode } from "./inode.js";
import { inlineRun, readBlockMap } from "./map.js";
import { readExt4Superblock } from "./superblock.js";
import { createXattrReader } from "./xattr.js";

const LOST_AND_FOUND = "lost+found";
const LOST_AND_FOUND_MODE = 0o700;
/** A directory's data that lies in its inode begins with the number of its parent. */
const INLINE_PARENT_BYTES = 4;

interface Ext4Data {
  readonly inode: Ext4Inode;
  readonly runs: Runs;
}

/**
 * Reads an ext4 disk, or one of ext2 or ext3, as a tree: what mke2fs, Linux and this package write, of any block size, with extents or
 * block maps, inline data, xattrs in inodes, blocks and inodes of their own, linear and indexed directories. Checksums of metadata are
 * verified where the disk has them. What was allocated and not written is a hole.
 *
 * The disk has to be clean: a journal is not replayed, such a disk is refused. An empty `/lost+found` as mke2fs makes it belongs to the
 * file system and is not shown.
 *
 * The source is borrowed: it must not change while the tree is in use, and is the caller's to close after it.
 *
 * @throws {DiskExportError} `disk_invalid` where the disk contradicts itself; `unsupported` for encryption, an unclean disk and features
 * that are not known
 */
export async function openExt4(source: DiskSource, options: CallOptions = {}): Promise<FileTree> {
  return readExt4(source, { ...options, close: undefined });
}

/** As {@link openExt4}; `close` is called when the tree is closed. */
export async function readExt4(
  source: DiskSource,
  { signal, close }: CallOptions & { close: (() => Promise<void>) | undefined },
): Promise<FileTree> {
  signal?.throwIfAborted();
  const metadata = createDiskMetadata(source, { format: "ext4", signal });
  const volume = await readExt4Superblock(metadata);
  const { format } = metadata;
  const inodes = createInodeReader(volume);
  const xattrs = createXattrReader(volume, async (number, length) => {
    const inode = await inodes.read(number);
    const what = `inode ${number}`;
    if ((inode.flags & INODE_FLAG.valueInode) === 0 || inode.size !== length)
      throw diskInvalid(format, what, "it does not hold the xattr's value that it should");
    return readAll(metadata, what, await readBlockMap(volume, inode), length);
  });

  async function runsOf(inode: Ext4Inode, inline: { offset: number; length: number } | undefined): Promise<Runs> {
    if ((inode.flags & INODE_FLAG.inlineData) === 0) return readBlockMap(volume, inode);
    const runs: number[] = [];
    const first = inlineRun(inode);
    // mke2fs makes a file of nothing but zeros so, whatever its size: what has no room is a hole.
    const rest = Math.min(inode.size - first.length, inline?.length ?? 0);
    if (first.length > 0) addRun(runs, 0, first.offset, first.length);
    if (inline !== undefined && rest > 0) addRun(runs, first.length, inline.offset, rest);
    return runs;
  }

  async function readInode(number: number): Promise<DiskInode<Ext4Data>> {
    const inode = await inodes.read(number);
    const what = `inode ${number}`;
    const { kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = inode;
    const found = await xattrs.read(inode);
    const hasData = kind === "file" || kind === "directory" || (kind === "symlink" && !isFastLink(inode));
    const runs = hasData ? await runsOf(inode, found.inlineData) : [];
    const linkTarget = kind === "symlink" ? await readTarget(metadata, what, inode, runs) : "";
    const size = kind === "file" ? inode.size : linkTarget.length;
    const extents = kind === "file" ? dataExtents(runs, size) : undefined;
    const isDevice = kind === "char" || kind === "block";
    return {
      kind,
      mode,
      uid,
      gid,
      mtimeSeconds,
      mtimeNanoseconds,
      xattrs: found.xattrs,
      size,
      linkTarget,
      ...(isDevice ? deviceOf(inode) : NO_DEVICE),
      ...(extents === undefined ? {} : { extents }),
      locality: kind === "file" ? firstDiskOffset(runs) : 0,
      data: { inode, runs },
    };
  }

  async function readNames(directory: Ext4Data): Promise<DiskName[]> {
    const { inode, runs } = directory;
    const what = `inode ${inode.number}`;
    const names: DiskName[] = [];
    if ((inode.flags & INODE_FLAG.inlineData) !== 0) {
      const bytes = await readAll(metadata, what, runs, inode.size);
      const own = bytes.subarray(Math.min(INLINE_PARENT_BYTES, bytes.length), INODE_MAP_BYTES);
      const rest = bytes.subarray(INODE_MAP_BYTES);
      return [...readEntries(volume, inode, own), ...readEntries(volume, inode, rest)];
    }
    const { blockBytes } = volume;
    let end = 0;
    for (let at = 0; at < runs.length; at += 3) {
      if (runs[at] !== end) throw diskInvalid(format, what, "this directory has a hole");
      end += runs[at + 2]!;
      for (let done = 0; done < runs[at + 2]!; done += blockBytes) {
        const block = await metadata.read(what, runs[at + 1]! + done, blockBytes);
        names.push(...readDirectoryBlock(volume, inode, block));
      }
    }
    if (end < inode.size) throw diskInvalid(format, what, "this directory has a hole");
    return names;
  }

  async function isPlainLostAndFound({ name, inode }: DiskName): Promise<boolean> {
    if (name !== LOST_AND_FOUND || inode !== FIRST_INODE) return false;
    const { kind, mode, uid, gid, xattrs: found, data } = await readInode(inode);
    const isMade = kind === "directory" && mode === LOST_AND_FOUND_MODE && uid === 0 && gid === 0 && found.size === 0;
    return isMade && (await readNames(data)).length === 0;
  }

  return readDiskTree<Ext4Data>(
    {
      format,
      rootInode: ROOT_INODE,
      inode: readInode,
      async names(number, { data }) {
        const names = await readNames(data);
        if (number !== ROOT_INODE) return names;
        const kept = await Promise.all(names.map(async (name) => !(await isPlainLostAndFound(name))));
        return names.filter((_, index) => kept[index]);
      },
      read: ({ data }, range) => readRuns(source, data.runs, range),
    },
    { signal, close },
  );
}

/** What is short enough is in the inode, in the map's place. */
function isFastLink({ size, flags }: Ext4Inode): boolean {
  return size < INODE_MAP_BYTES && (flags & (INODE_FLAG.extents | INODE_FLAG.inlineData)) === 0;
}

async function readTarget(metadata: DiskMetadata, what: string, inode: Ext4Inode, runs: Runs): Promise<string> {
  if (inode.size === 0 || inode.size > LINK_TARGET_MAX)
    throw diskInvalid(metadata.format, what, `a link's target of ${inode.size} bytes`);
  const bytes = isFastLink(inode) ? inode.map.subarray(0, inode.size) : await readAll(metadata, what, runs, inode.size);
  if (bytes.includes(0)) throw diskInvalid(metadata.format, what, "a link's target with a NUL in it");
  return bytesToByteString(bytes);
}

/** `old_decode_dev` of the first number, or the new form in the second. */
function deviceOf({ map }: Ext4Inode): DeviceNumber {
  const view = viewOf(map);
  const old = view.getUint32(0, true);
  if (old !== 0) return { deviceMajor: (old >>> 8) & 0xff, deviceMinor: old & 0xff };
  return decodeDevice(view.getUint32(4, true));
}

/** Metadata of a few blocks in one piece. */
async function readAll(metadata: DiskMetadata, what: string, runs: Runs, length: number): Promise<Uint8Array> {
  metadata.charge(what, length);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < runs.length; at += 3) {
    const offset = runs[at]!;
    const count = Math.min(runs[at + 2]!, length - offset);
    if (count > 0) bytes.set(await metadata.read(what, runs[at + 1]!, count), offset);
  }
  return bytes;
}
