import { bytesToByteString } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { decodeDevice, NO_DEVICE } from "../../reading/inode-kind.js";
import { createDiskMetadata, diskInvalid, diskUnsupported } from "../../reading/metadata.js";
import type { DiskMetadata } from "../../reading/metadata.js";
import { dataExtents, firstDiskOffset, readRuns } from "../../reading/runs.js";
import type { Runs } from "../../reading/runs.js";
import type { DiskSource } from "../../reading/source.js";
import { readDiskTree } from "../../reading/tree.js";
import type { DiskInode, DiskName } from "../../reading/tree.js";
import { LINK_TARGET_MAX } from "../layout.js";
import { createCompressedReader } from "./compressed.js";
import type { Range } from "./compressed.js";
import { readDirents } from "./directory.js";
import { isCompressed, readErofsInode, readErofsRuns } from "./inode.js";
import type { ErofsDiskInode } from "./inode.js";
import { readErofsSuperblock } from "./superblock.js";
import type { ErofsVolume } from "./superblock.js";
import { createErofsXattrReader, decodePrefixes } from "./xattr.js";
import type { LongPrefix } from "./xattr.js";

/** More than the longest table of prefixes has. */
const PREFIX_BYTES_MAX = 260;

interface ErofsData {
  readonly inode: ErofsDiskInode;
  /** Of what is not compressed. */
  readonly runs: Runs;
}

/**
 * Reads an EROFS disk as a tree: what mkfs.erofs, Linux and this package write, with blocks of 512 bytes to 64 KiB; compact and extended
 * inodes; plain, inline and chunk-based files; LZ4, deflate and zstd with full and compact indexes, big clusters, inline tails and
 * fragments; shared xattrs and long prefixes. An inode without a time of its own has the disk's.
 *
 * The source is borrowed: it must not change while the tree is in use, and is the caller's to close after it. Compressed data is
 * verified by nothing but its own form.
 *
 * @throws {DiskExportError} `disk_invalid` where the disk contradicts itself, also from the tree's `read`; `unsupported` for MicroLZMA,
 * data on other devices and features that are not known
 */
export async function openErofs(source: DiskSource, options: CallOptions = {}): Promise<FileTree> {
  return readErofs(source, { ...options, close: undefined });
}

/** As {@link openErofs}; `close` is called when the tree is closed. */
export async function readErofs(
  source: DiskSource,
  { signal, close }: CallOptions & { close: (() => Promise<void>) | undefined },
): Promise<FileTree> {
  signal?.throwIfAborted();
  const metadata = createDiskMetadata(source, { format: "EROFS", signal });
  const volume = await readErofsSuperblock(metadata);
  const { format } = metadata;
  const compressed = createCompressedReader(volume, source, readPacked);
  const packed = volume.packedNid === undefined ? undefined : await readData(volume, volume.packedNid);
  const xattrs = createErofsXattrReader(volume, await readPrefixes(volume));

  function readFile({ inode, runs }: ErofsData, range: Range): AsyncIterable<Uint8Array> {
    return isCompressed(inode) ? compressed.read(inode, range) : readRuns(source, runs, range);
  }

  function readPacked(range: Range): AsyncIterable<Uint8Array> {
    if (packed === undefined || range.offset + range.length > packed.inode.size)
      throw diskInvalid(format, "fragment", `${range.length} bytes from ${range.offset} are not in the packed inode`);
    return readFile(packed, range);
  }

  async function readPrefixes({ prefixes }: ErofsVolume): Promise<LongPrefix[]> {
    if (prefixes === undefined) return [];
    const { start, count, isPacked } = prefixes;
    const limit = isPacked ? (packed?.inode.size ?? 0) : metadata.sizeBytes;
    const length = Math.max(0, Math.min(count * PREFIX_BYTES_MAX, limit - start));
    const bytes = isPacked
      ? await collect(readPacked({ offset: start, length, signal }), length)
      : await metadata.read("prefixes of xattrs", start, length);
    const decoded = decodePrefixes(bytes, count);
    if (decoded === undefined) throw diskInvalid(format, "prefixes of xattrs", "their table is damaged");
    return decoded;
  }

  async function readInode(nid: number): Promise<DiskInode<ErofsData>> {
    const data = await readData(volume, nid);
    const { kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds, union, size } = data.inode;
    const linkTarget = kind === "symlink" ? await readTarget(metadata, data) : "";
    const extents = kind === "file" && !isCompressed(data.inode) ? dataExtents(data.runs, size) : undefined;
    return {
      kind,
      mode,
      uid,
      gid,
      mtimeSeconds,
      mtimeNanoseconds,
      xattrs: await xattrs.read(data.inode),
      size: kind === "file" || kind === "symlink" ? size : 0,
      linkTarget,
      ...(kind === "char" || kind === "block" ? decodeDevice(union) : NO_DEVICE),
      ...(extents === undefined ? {} : { extents }),
      locality: kind === "file" ? localityOf(data) : 0,
      data,
    };
  }

  async function readNames({ inode, runs }: ErofsData): Promise<DiskName[]> {
    const names: DiskName[] = [];
    let end = 0;
    for (let at = 0; at < runs.length; at += 3) {
      if (runs[at] !== end) break;
      end += runs[at + 2]!;
      for (let done = 0; done < runs[at + 2]!; done += volume.blockBytes) {
        const length = Math.min(volume.blockBytes, runs[at + 2]! - done);
        const found = readDirents(await metadata.read(`inode ${inode.nid}`, runs[at + 1]! + done, length));
        if (found === undefined)
          throw diskInvalid(format, `inode ${inode.nid}`, "a block of this directory is damaged");
        for (const name of found) names.push(name);
      }
    }
    if (end !== inode.size) throw diskInvalid(format, `inode ${inode.nid}`, "this directory has a hole");
    return names;
  }

  return readDiskTree<ErofsData>(
    {
      format,
      rootInode: volume.rootNid,
      inode: readInode,
      names: (_, { data }) => readNames(data),
      read: ({ data }, range) => readFile(data, range),
    },
    { signal, close },
  );
}

async function readData(volume: ErofsVolume, nid: number): Promise<ErofsData> {
  const inode = await readErofsInode(volume, nid);
  const hasData = inode.kind === "file" || inode.kind === "directory" || inode.kind === "symlink";
  if (!hasData) return { inode, runs: [] };
  if (!isCompressed(inode)) return { inode, runs: await readErofsRuns(volume, inode) };
  if (inode.kind === "file") return { inode, runs: [] };
  throw diskUnsupported(volume.metadata.format, `inode ${nid}`, `it is a ${inode.kind} that is compressed`);
}

async function readTarget(metadata: DiskMetadata, { inode, runs }: ErofsData): Promise<string> {
  const what = `inode ${inode.nid}`;
  if (inode.size === 0 || inode.size > LINK_TARGET_MAX)
    throw diskInvalid(metadata.format, what, `a link's target of ${inode.size} bytes`);
  const bytes = new Uint8Array(inode.size);
  for (let at = 0; at < runs.length; at += 3)
    bytes.set(await metadata.read(what, runs[at + 1]!, runs[at + 2]!), runs[at]);
  if (bytes.includes(0)) throw diskInvalid(metadata.format, what, "a link's target with a NUL in it");
  return bytesToByteString(bytes);
}

/** A compressed file's first block is known only to its index; files are written in the order of their inodes. */
function localityOf({ inode, runs }: ErofsData): number {
  return isCompressed(inode) ? inode.end : firstDiskOffset(runs);
}

async function collect(chunks: AsyncIterable<Uint8Array>, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const chunk of chunks) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}
