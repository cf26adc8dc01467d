import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createChunkStore } from "./chunk-store.js";
import type { ErofsInode } from "../inode.js";
import { BLOCK_BYTES } from "../layout.js";
import { shownPath } from "../../entry-path.js";
import { DiskExportError } from "../../errors.js";

/** Of all files, holes too: 128 GiB, whose digests take 1.5 GiB of memory. */
const CHUNKS_MAX: number = 2 ** 25;

/** Stands for a block in which no byte is data. */
export const HOLE = 0xffffffff;

export interface FileChunksOptions extends CallOptions {
  tree: FileTree;
  /** Called as files are read; ends with both numbers equal. */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/** What files hold, block by block. */
export interface FileChunks {
  /** For each block of the file at this place of the list its content's number, or {@link HOLE}. The last is filled up with zeros. */
  of(index: number): Uint32Array;
  /** Contents are numbered from 0, as they are first met. */
  readonly contentCount: number;
}

/**
 * Reads files in the order given, but for their holes, and numbers what their blocks hold.
 * @throws {DiskExportError} `unsupported` for files of more than 128 GiB in all, `tree_invalid`; what reading the tree throws, and `signal.reason`
 */
export async function readFileChunks(
  files: readonly ErofsInode[],
  { tree, onProgress, signal }: FileChunksOptions,
): Promise<FileChunks> {
  const starts = new Float64Array(files.length + 1);
  for (const [index, { size }] of files.entries()) starts[index + 1] = starts[index]! + Math.ceil(size / BLOCK_BYTES);
  const total = starts[files.length]!;
  if (total > CHUNKS_MAX) {
    const limit = `the limit is ${CHUNKS_MAX * BLOCK_BYTES}`;
    throw new DiskExportError("unsupported", `cannot dedupe ${total * BLOCK_BYTES} bytes of files: ${limit}`);
  }
  const numbers = new Uint32Array(total);
  const of = (index: number): Uint32Array => numbers.subarray(starts[index], starts[index + 1]);

  const bytesTotal = files.reduce((sum, { entry }) => sum + dataLength(entry), 0);
  let bytesDone = 0;
  onProgress?.(0, bytesTotal);
  const store = createChunkStore(Math.ceil(bytesTotal / BLOCK_BYTES) + files.length);
  for (const [index, { entry }] of files.entries()) {
    const chunks = of(index);
    if (entry.extents !== undefined) chunks.fill(HOLE);
    for (const range of dataRanges(entry)) {
      let chunk = range.offset / BLOCK_BYTES;
      for await (const block of blocksOf(tree, entry, { ...range, signal })) {
        chunks[chunk++] = store.add(block);
        // Far less often than there are blocks, and right at the end.
        if (chunk % 64 === 0) onProgress?.(bytesDone + chunk * BLOCK_BYTES - range.offset, bytesTotal);
      }
      bytesDone += range.length;
      onProgress?.(bytesDone, bytesTotal);
    }
  }
  return { of, contentCount: store.count() };
}

interface DataRange {
  /** A multiple of a block. */
  readonly offset: number;
  /** Whole blocks, but at the end of the file. */
  readonly length: number;
}

function dataLength(entry: Entry): number {
  let sum = 0;
  for (const { length } of dataRanges(entry)) sum += length;
  return sum;
}

/** Blocks that hold data, in runs. */
function* dataRanges({ size, extents = [{ offset: 0, length: size }] }: Entry): Generator<DataRange> {
  let start = 0;
  let end = 0;
  for (const { offset, length } of extents) {
    if (length === 0) continue;
    const from = offset - (offset % BLOCK_BYTES);
    if (from > end) {
      if (end > start) yield { offset: start, length: end - start };
      start = from;
    }
    end = Math.min(Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES, size);
  }
  if (end > start) yield { offset: start, length: end - start };
}

/** The last one filled up. Each is valid only until the next is asked for. */
async function* blocksOf(
  tree: FileTree,
  entry: Entry,
  { offset, length, signal }: DataRange & CallOptions,
): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(Math.min(Math.ceil(length / BLOCK_BYTES), 1) * BLOCK_BYTES);
  let used = 0;
  let left = length;
  for await (const bytes of tree.read(entry, { offset, length, signal })) {
    signal?.throwIfAborted();
    left -= bytes.length;
    if (left < 0) throw wrongLength(entry, "more");
    for (let at = 0; at < bytes.length;) {
      if (used === 0 && bytes.length - at >= BLOCK_BYTES) {
        yield bytes.subarray(at, at + BLOCK_BYTES);
        at += BLOCK_BYTES;
        continue;
      }
      const part = bytes.subarray(at, at + BLOCK_BYTES - used);
      block.set(part, used);
      at += part.length;
      used += part.length;
      if (used < BLOCK_BYTES) continue;
      yield block;
      used = 0;
    }
  }
  signal?.throwIfAborted();
  if (left > 0) throw wrongLength(entry, "fewer");
  if (used > 0) yield block.fill(0, used);
}

function wrongLength(entry: Entry, how: "more" | "fewer"): DiskExportError {
  return new DiskExportError(
    "tree_invalid",
    `cannot read ${shownPath(entry)}: its tree gave ${how} bytes than its ${entry.size} have room for`,
  );
}
