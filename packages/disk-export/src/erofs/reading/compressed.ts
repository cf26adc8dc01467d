import type { CallOptions } from "@lamella/refs";

import { alignUp } from "../../byte-layout.js";
import { DiskExportError } from "../../errors.js";
import { diskInvalid, diskUnsupported, isInside, viewOf } from "../../reading/metadata.js";
import { readBytes } from "../../reading/source.js";
import type { DiskSource } from "../../reading/source.js";
import { decompressExtent, EXTENT_BYTES_MAX, isKnownAlgorithm } from "./decompress.js";
import { decodeIndex, findExtent, indexBytes } from "./cluster-index.js";
import type { ErofsExtents, IndexForm } from "./cluster-index.js";
import { LAYOUT } from "./inode.js";
import type { ErofsDiskInode } from "./inode.js";
import type { ErofsVolume } from "./superblock.js";

const HEADER_BYTES = 8;
/** Between the header and an index that is not compact. */
const FULL_INDEX_PADDING = 8;
/** Of a file of 128 GiB at two bytes for each 4 KiB. */
const INDEX_BYTES_MAX = 64 << 20;
const FILES_KEPT = 4;
const CLUSTER_BYTES_MAX = 1 << 20;
const WHOLE_FRAGMENT_BIT = 0x80;

const ADVISE = { inlineTail: 0x8, interlaced: 0x10, fragment: 0x20 } as const;
const TYPE_PLAIN = 0;
const TYPE_SECOND = 3;

export interface Range extends CallOptions {
  readonly offset: number;
  readonly length: number;
}

/** Reads bytes of compressed files. Keeps the indexes of the last few, and of each the extent that was decompressed last. */
export interface CompressedReader {
  /** @throws {DiskExportError} `disk_invalid`, `unsupported` */
  read(inode: ErofsDiskInode, range: Range): AsyncGenerator<Uint8Array>;
}

interface OpenFile {
  readonly inode: ErofsDiskInode;
  readonly advise: number;
  readonly algorithms: readonly [number, number];
  readonly extents: ErofsExtents;
  /** The last extent's bytes, where they are behind the index. */
  readonly inlineTail: { readonly position: number; readonly length: number } | undefined;
  /** Where in the packed inode the last extent is. */
  readonly fragmentOffset: number | undefined;
  last: { readonly index: number; readonly bytes: Uint8Array } | undefined;
}

/** A file that is nothing but a fragment. */
const NO_EXTENTS: ErofsExtents = {
  count: 1,
  starts: new Float64Array(1),
  blocks: new Uint32Array(1),
  blockCounts: new Uint16Array(1),
  types: new Uint8Array(1),
  partial: new Uint8Array(1),
};

/** @param readPacked - bytes of the packed inode, which is never asked for its own fragments */
export function createCompressedReader(
  volume: ErofsVolume,
  source: DiskSource,
  readPacked: (range: Range) => AsyncIterable<Uint8Array>,
): CompressedReader {
  const { format } = volume.metadata;
  const files = new Map<number, OpenFile>();

  async function openFile(inode: ErofsDiskInode, options: CallOptions): Promise<OpenFile> {
    const known = files.get(inode.nid);
    files.delete(inode.nid);
    const file = known ?? (await openCompressed(volume, source, { inode, ...options }));
    files.set(inode.nid, file);
    if (files.size > FILES_KEPT) files.delete(files.keys().next().value ?? 0);
    return file;
  }

  async function extentBytes(file: OpenFile, index: number, options: CallOptions): Promise<Uint8Array> {
    if (file.last?.index === index) return file.last.bytes;
    const bytes = await readExtent(volume, source, { file, index, ...options });
    file.last = { index, bytes };
    return bytes;
  }

  return {
    async *read(inode, { offset, length, signal }) {
      if (length === 0) return;
      const file = await openFile(inode, { signal });
      const { extents, fragmentOffset } = file;
      const end = offset + length;
      let position = offset;
      for (let index = findExtent(extents, offset); position < end; index++) {
        signal?.throwIfAborted();
        const start = extents.starts[index]!;
        const isLast = index === extents.count - 1;
        const to = Math.min(isLast ? inode.size : extents.starts[index + 1]!, end);
        if (isLast && fragmentOffset !== undefined) {
          if (inode.nid === volume.packedNid)
            throw diskInvalid(format, `inode ${inode.nid}`, "it is a fragment of itself");
          yield* readPacked({ offset: fragmentOffset + position - start, length: to - position, signal });
        } else {
          yield (await extentBytes(file, index, { signal })).subarray(position - start, to - start);
        }
        position = to;
      }
    },
  };
}

async function openCompressed(
  volume: ErofsVolume,
  source: DiskSource,
  { inode, signal }: CallOptions & { inode: ErofsDiskInode },
): Promise<OpenFile> {
  const { format } = volume.metadata;
  const what = `inode ${inode.nid}`;
  const headerStart = alignUp(inode.end, 8);
  const view = viewOf(await readInside(volume, source, { what, offset: headerStart, length: HEADER_BYTES, signal }));
  const clusterByte = view.getUint8(7);
  if ((clusterByte & WHOLE_FRAGMENT_BIT) !== 0) {
    // The file is the fragment, and the header but for this bit its offset.
    const fragmentOffset = view.getUint32(0, true) + (view.getUint32(4, true) & 0x7fffffff) * 2 ** 32;
    return {
      inode,
      advise: 0,
      algorithms: [0, 0],
      extents: NO_EXTENTS,
      inlineTail: undefined,
      fragmentOffset,
      last: undefined,
    };
  }

  const isCompact = inode.layout === LAYOUT.compressedCompact;
  const advise = view.getUint16(4, true);
  const form: IndexForm = {
    isCompact,
    advise,
    clusterBits: volume.blockBits + (clusterByte & 7),
    blockBits: volume.blockBits,
    size: inode.size,
    start: headerStart + HEADER_BYTES + (isCompact ? 0 : FULL_INDEX_PADDING),
  };
  if (isCompact && form.clusterBits > 14) throw diskUnsupported(format, what, "its clusters are too large");
  // The least that an index of this file could have, before it is looked at piece by piece.
  if ((inode.size / 2 ** form.clusterBits) * 2 > INDEX_BYTES_MAX)
    throw diskUnsupported(format, what, `the index of its data has more than ${INDEX_BYTES_MAX} bytes, the limit`);
  const length = indexBytes(form);
  const extents = decodeIndex(form, await readInside(volume, source, { what, offset: form.start, length, signal }));
  if (extents === undefined) throw diskInvalid(format, what, "the index of its data is damaged");

  const algorithmByte = view.getUint8(6);
  const isInline = (advise & ADVISE.inlineTail) !== 0;
  const isFragment = !isInline && (advise & ADVISE.fragment) !== 0;
  const high = isCompact ? 0 : extents.blocks[extents.count - 1]! * 2 ** 32;
  return {
    inode,
    advise,
    algorithms: [algorithmByte & 15, algorithmByte >>> 4],
    extents,
    inlineTail: isInline ? { position: form.start + length, length: view.getUint16(2, true) } : undefined,
    fragmentOffset: isFragment ? view.getUint32(0, true) + high : undefined,
    last: undefined,
  };
}

async function readExtent(
  volume: ErofsVolume,
  source: DiskSource,
  { file, index, signal }: CallOptions & { file: OpenFile; index: number },
): Promise<Uint8Array> {
  const { blockBytes, hasZeroPadding } = volume;
  const { format } = volume.metadata;
  const { extents, inode, inlineTail } = file;
  const what = `inode ${inode.nid}`;
  const isLast = index === extents.count - 1;
  const start = extents.starts[index]!;
  const length = (isLast ? inode.size : extents.starts[index + 1]!) - start;
  const inline = isLast ? inlineTail : undefined;
  const offset = inline?.position ?? extents.blocks[index]! * blockBytes;
  const stored = inline?.length ?? extents.blockCounts[index]! * blockBytes;
  if (stored > CLUSTER_BYTES_MAX || length > EXTENT_BYTES_MAX)
    throw diskInvalid(format, what, `an extent of ${length} bytes in ${stored}`);
  const bytes = await readInside(volume, source, { what, offset, length: stored, signal });

  const type = extents.types[index]!;
  if (type === TYPE_PLAIN) {
    if (length > stored) throw diskInvalid(format, what, `an extent of ${length} bytes in ${stored}`);
    return (file.advise & ADVISE.interlaced) === 0
      ? bytes.subarray(0, length)
      : deinterlace(bytes, { start: start % blockBytes, blockBytes, length });
  }
  const algorithm = file.algorithms[type === TYPE_SECOND ? 1 : 0];
  if (!isKnownAlgorithm(algorithm)) throw diskUnsupported(format, what, `it is compressed by algorithm ${algorithm}`);
  try {
    const isPartial = extents.partial[index] === 1;
    return decompressExtent({ algorithm, bytes, hasZeroPadding, blockBytes, length, isPartial });
  } catch (error) {
    const state = error instanceof Error ? error.message : String(error);
    throw new DiskExportError("disk_invalid", `cannot read ${format} ${what}: ${state}`, { cause: error });
  }
}

/** Each byte lies where it lies in its block of the file: what comes before the file's next block is at the end. */
function deinterlace(
  bytes: Uint8Array,
  { start, blockBytes, length }: { start: number; blockBytes: number; length: number },
): Uint8Array {
  const head = blockBytes - start;
  const target = new Uint8Array(length);
  target.set(bytes.subarray(bytes.length - head, bytes.length - head + Math.min(head, length)));
  if (length > head) target.set(bytes.subarray(0, length - head), head);
  return target;
}

async function readInside(
  { metadata }: ErofsVolume,
  source: DiskSource,
  { what, offset, length, signal }: Range & { what: string },
): Promise<Uint8Array> {
  if (!isInside(source.sizeBytes, offset, length))
    throw diskInvalid(metadata.format, what, "its data would lie behind the disk's end");
  return readBytes(source, offset, length, { signal });
}
