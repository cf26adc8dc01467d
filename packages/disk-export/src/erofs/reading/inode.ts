import type { FileKind } from "@lamella/layer-format";

import { kindOfMode } from "../../reading/inode-kind.js";
import { diskInvalid, diskUnsupported, readWide, viewOf } from "../../reading/metadata.js";
import { addRun } from "../../reading/runs.js";
import type { Runs } from "../../reading/runs.js";
import { CHUNK_ADDRESS_BYTES, INODE, INODE_BYTES, NO_BLOCK, XATTR_HEADER_BYTES } from "../layout.js";
import { inodePosition, readSeconds } from "./superblock.js";
import type { ErofsVolume } from "./superblock.js";

const COMPACT_BYTES = 32;
/** Offsets in `struct erofs_inode_compact`, where they differ from {@link INODE}. */
const COMPACT = { links: 6, size: 8, uid: 24, gid: 26 } as const;
const FORMAT_EXTENDED = 1;
const FORMAT_BITS = 0xf;
const NANOSECONDS_MAX = 999_999_999;

/** `EROFS_INODE_*`: where an inode's data lies. */
export const LAYOUT = { plain: 0, compressedFull: 1, inlineTail: 2, compressedCompact: 3, chunks: 4 } as const;

const CHUNK_BITS_MASK = 0x1f;
const CHUNK_INDEXES = 0x20;
const CHUNK_FORMAT_KNOWN = 0x3f;
const CHUNK_INDEX_BYTES = 8;

export interface ErofsDiskInode {
  readonly nid: number;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly layout: number;
  /** The first block, a device's number or the form of the chunks. */
  readonly union: number;
  /** On the disk: where its xattrs are, and where they end. */
  readonly xattrsStart: number;
  readonly end: number;
}

/** @throws {DiskExportError} `disk_invalid`, `unsupported` */
export async function readErofsInode(volume: ErofsVolume, nid: number): Promise<ErofsDiskInode> {
  const { metadata } = volume;
  const { format } = metadata;
  const what = `inode ${nid}`;
  const position = inodePosition(volume, nid);
  const view = viewOf(await metadata.read(what, position, COMPACT_BYTES));
  const form = view.getUint16(INODE.format, true);
  if ((form & ~FORMAT_BITS) !== 0) throw diskUnsupported(format, what, `its form 0x${form.toString(16)} is unknown`);
  const layout = form >> 1;
  if (layout > LAYOUT.chunks) throw diskUnsupported(format, what, `its data's layout ${layout} is unknown`);
  const mode = view.getUint16(INODE.mode, true);
  const kind = kindOfMode(mode);
  if (kind === undefined) throw diskInvalid(format, what, "it is of no kind");
  const isExtended = (form & FORMAT_EXTENDED) !== 0;
  const fields = isExtended
    ? extendedFields(viewOf(await metadata.read(what, position, INODE_BYTES)))
    : compactFields(view, volume);
  if (fields.links === 0 || !Number.isSafeInteger(fields.size) || fields.mtimeNanoseconds > NANOSECONDS_MAX)
    throw diskInvalid(format, what, "its count of links, size or time cannot be");
  const xattrCount = view.getUint16(INODE.xattrCount, true);
  const xattrsStart = position + (isExtended ? INODE_BYTES : COMPACT_BYTES);
  const { uid, gid, size, mtimeSeconds, mtimeNanoseconds } = fields;
  return {
    nid,
    kind,
    mode: mode & 0o7777,
    uid,
    gid,
    size,
    mtimeSeconds,
    mtimeNanoseconds,
    layout,
    union: view.getUint32(INODE.union, true),
    xattrsStart,
    end: xattrsStart + (xattrCount === 0 ? 0 : XATTR_HEADER_BYTES + 4 * (xattrCount - 1)),
  };
}

export function isCompressed({ layout }: ErofsDiskInode): boolean {
  return layout === LAYOUT.compressedFull || layout === LAYOUT.compressedCompact;
}

/** Where the bytes of an inode that is not compressed lie. */
export async function readErofsRuns(volume: ErofsVolume, inode: ErofsDiskInode): Promise<Runs> {
  const { blockBytes, metadata } = volume;
  const { size, union, layout, end } = inode;
  const runs: number[] = [];
  if (size === 0) return runs;
  if (layout === LAYOUT.chunks) {
    await readChunks(volume, inode, runs);
  } else {
    const tail = layout === LAYOUT.inlineTail ? size - (Math.ceil(size / blockBytes) - 1) * blockBytes : 0;
    if (size > tail) addRun(runs, 0, union * blockBytes, size - tail);
    if (tail > 0) addRun(runs, size - tail, end, tail);
  }
  for (let at = 0; at < runs.length; at += 3) {
    if (runs[at + 1]! + runs[at + 2]! > metadata.sizeBytes)
      throw diskInvalid(metadata.format, `inode ${inode.nid}`, "its data would lie behind the disk's end");
  }
  return runs;
}

interface Fields {
  readonly links: number;
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
}

function compactFields(view: DataView, { buildSeconds, buildNanoseconds }: ErofsVolume): Fields {
  return {
    links: view.getUint16(COMPACT.links, true),
    size: view.getUint32(COMPACT.size, true),
    uid: view.getUint16(COMPACT.uid, true),
    gid: view.getUint16(COMPACT.gid, true),
    mtimeSeconds: buildSeconds,
    mtimeNanoseconds: buildNanoseconds,
  };
}

function extendedFields(view: DataView): Fields {
  return {
    links: view.getUint32(INODE.links, true),
    size: readWide(view, INODE.size),
    uid: view.getUint32(INODE.uid, true),
    gid: view.getUint32(INODE.gid, true),
    mtimeSeconds: readSeconds(view, INODE.mtime),
    mtimeNanoseconds: view.getUint32(INODE.mtimeNanoseconds, true),
  };
}

/** Each chunk has a block of its own, or is a hole. */
async function readChunks(volume: ErofsVolume, inode: ErofsDiskInode, runs: number[]): Promise<void> {
  const { metadata, blockBits, blockBytes, deviceStarts } = volume;
  const { format } = metadata;
  const what = `inode ${inode.nid}`;
  const form = inode.union & 0xffff;
  if ((form & ~CHUNK_FORMAT_KNOWN) !== 0)
    throw diskUnsupported(format, what, `the form 0x${form.toString(16)} of its chunks is unknown`);
  const chunkBytes = 2 ** (blockBits + (form & CHUNK_BITS_MASK));
  const hasIndexes = (form & CHUNK_INDEXES) !== 0;
  const unit = hasIndexes ? CHUNK_INDEX_BYTES : CHUNK_ADDRESS_BYTES;
  const count = Math.ceil(inode.size / chunkBytes);
  const start = Math.ceil(inode.end / unit) * unit;
  const view = viewOf(await metadata.read(what, start, count * unit));
  const deviceMask = 2 ** Math.ceil(Math.log2(deviceStarts.length + 1)) - 1;
  for (let chunk = 0; chunk < count; chunk++) {
    const at = chunk * unit;
    const block = view.getUint32(hasIndexes ? at + 4 : at, true);
    if (block === NO_BLOCK) continue;
    const device = hasIndexes ? view.getUint16(at + 2, true) & deviceMask : 0;
    const deviceStart = device === 0 ? 0 : deviceStarts[device - 1];
    if (device !== 0 && !deviceStart)
      throw diskUnsupported(format, what, `its data is on another device, number ${device}`);
    const offset = chunk * chunkBytes;
    addRun(runs, offset, ((deviceStart ?? 0) + block) * blockBytes, Math.min(chunkBytes, inode.size - offset));
  }
}
