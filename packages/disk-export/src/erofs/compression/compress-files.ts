import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { indexLength } from "./compressed-index.js";
import { attributesLength } from "../inode.js";
import type { ErofsInode } from "../inode.js";
import { BLOCK_BYTES, COMPRESSION } from "../layout.js";
import type { CompressionAlgorithm, CompressionJob, CompressionResult } from "./unit-compressor.js";
import { shownPath } from "../../entry-path.js";
import { DiskExportError } from "../../errors.js";
import type { Spool } from "../../spool.js";
import type { WorkerPool } from "../../worker-pool.js";

/** What is compressed for itself, so that threads share large files: each begins at a multiple of this in its file. */
const UNIT_BYTES = 1 << 20;

/** Files up to this are asked for at once, without waiting. */
const SMALL_BYTES = 64 << 10;

export interface CompressFilesOptions extends CallOptions {
  tree: FileTree;
  algorithm: CompressionAlgorithm;
  pool: WorkerPool<CompressionJob, CompressionResult>;
  spool: Spool;
  /** Called as files are read; ends with both numbers equal. */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/** Units that go to a thread together; its buffers are used again. */
interface Batch {
  readonly input: ArrayBuffer;
  readonly output: ArrayBuffer;
  readonly files: PendingFile[];
  readonly lengths: number[];
  bytes: number;
  blocks: number;
}

interface PendingFile {
  readonly inode: ErofsInode;
  readonly extents: number[];
  /** Bytes of the file that its extents hold. */
  bytes: number;
  blocks: number;
  spoolOffset: number;
}

/**
 * Reads files in the order given, compresses them and keeps the outcome in the spool; each that got smaller has `compressed` set.
 * Neither the number of threads nor their speed changes the outcome. Files of a block or less and sparse ones are left alone.
 *
 * @throws {DiskExportError} `tree_invalid`, `write_failed`; what reading the tree throws, and `signal.reason`
 */
export async function compressFiles(files: readonly ErofsInode[], options: CompressFilesOptions): Promise<void> {
  const { tree, algorithm, pool, spool, onProgress, signal } = options;
  const free: Batch[] = Array.from({ length: pool.size + 2 }, newBatch);
  const running: { batch: Batch; result: Promise<CompressionResult> }[] = [];
  const store = createStore(algorithm, spool);
  let batch = free.pop()!;

  async function send(): Promise<void> {
    if (batch.lengths.length === 0) return;
    const { input, output, lengths } = batch;
    const result = pool.run({ algorithm, input, lengths, output }, { signal, transfer: [input, output] });
    // It is awaited in its turn; until then its failure is not one that nobody handles.
    result.catch(() => undefined);
    running.push({ batch, result });
    if (free.length === 0) await settle();
    batch = free.pop()!;
  }

  async function settle(): Promise<void> {
    const first = running.shift()!;
    const { input, output, extents } = await first.result;
    signal?.throwIfAborted();
    await store.add(first.batch.files, extents, new Uint8Array(output));
    free.push(newBatchOf(input, output));
  }

  const wanted = files.filter(({ size, entry }) => size > BLOCK_BYTES && entry.extents === undefined);
  const bytesTotal = wanted.reduce((sum, { size }) => sum + size, 0);
  let bytesDone = 0;
  onProgress?.(0, bytesTotal);
  for (const inode of wanted) {
    const file = { inode, extents: [], bytes: 0, blocks: 0, spoolOffset: 0 };
    let unitLeft = 0;
    let left = inode.size;
    // What is at hand has to be copied before anything is awaited.
    if (left <= SMALL_BYTES && !fits(batch, left)) await send();
    const atHand = left <= SMALL_BYTES ? tree.readNow?.(inode.entry, 0, left) : undefined;
    if (atHand !== undefined) {
      beginUnit(batch, file, left);
      new Uint8Array(batch.input, batch.bytes, left).set(atHand);
      batch.bytes += left;
      bytesDone += left;
      onProgress?.(bytesDone, bytesTotal);
      continue;
    }
    for await (const chunk of tree.read(inode.entry, { signal })) {
      signal?.throwIfAborted();
      for (let at = 0; at < chunk.length;) {
        if (unitLeft === 0) {
          if (left === 0) throw wrongLength(inode.entry, "more");
          unitLeft = Math.min(UNIT_BYTES, left);
          if (!fits(batch, unitLeft)) await send();
          beginUnit(batch, file, unitLeft);
        }
        const count = Math.min(unitLeft, chunk.length - at);
        new Uint8Array(batch.input, batch.bytes, count).set(chunk.subarray(at, at + count));
        batch.bytes += count;
        at += count;
        unitLeft -= count;
        left -= count;
      }
      bytesDone += chunk.length;
      onProgress?.(bytesDone, bytesTotal);
    }
    if (left > 0) throw wrongLength(inode.entry, "fewer");
  }
  await send();
  while (running.length > 0) await settle();
}

function newBatch(): Batch {
  return newBatchOf(new ArrayBuffer(UNIT_BYTES), new ArrayBuffer(UNIT_BYTES));
}

function newBatchOf(input: ArrayBuffer, output: ArrayBuffer): Batch {
  return { input, output, files: [], lengths: [], bytes: 0, blocks: 0 };
}

function fits({ blocks }: Batch, length: number): boolean {
  return blocks + Math.ceil(length / BLOCK_BYTES) <= UNIT_BYTES / BLOCK_BYTES;
}

function beginUnit(batch: Batch, file: PendingFile, length: number): void {
  batch.files.push(file);
  batch.lengths.push(length);
  batch.blocks += Math.ceil(length / BLOCK_BYTES);
}

/** Takes units in order, and writes those of files that got smaller one behind another. */
function createStore(
  algorithm: CompressionAlgorithm,
  spool: Spool,
): { add(files: readonly PendingFile[], extents: readonly number[][], output: Uint8Array): Promise<void> } {
  let spoolEnd = 0;

  async function add(files: readonly PendingFile[], extents: readonly number[][], output: Uint8Array): Promise<void> {
    // What is kept moves together, over what is not: one write for all of it, which begins at `writeStart` of the spool.
    let writeStart = spoolEnd;
    let read = 0;
    for (const [index, file] of files.entries()) {
      const unit = extents[index]!;
      const length = countBlocks(unit) * BLOCK_BYTES;
      if (file.blocks === 0) file.spoolOffset = spoolEnd;
      const kept = spoolEnd - writeStart;
      if (kept !== read) output.copyWithin(kept, read, read + length);
      read += length;
      spoolEnd += length;
      for (const number of unit) file.extents.push(number);
      file.blocks += length / BLOCK_BYTES;
      file.bytes += unit.reduce((sum, number, at) => (at % 2 === 0 ? sum + number : sum), 0);
      if (file.bytes < file.inode.size) continue;
      if (isSmaller(file)) {
        const { spoolOffset, blocks } = file;
        // A copy has no room to grow, of which most would be wasted.
        const extents = file.extents.slice();
        file.inode.compressed = { algorithm: COMPRESSION[algorithm], extents, blocks, spoolOffset };
      } else {
        spoolEnd = file.spoolOffset;
        writeStart = Math.min(writeStart, spoolEnd);
      }
    }
    if (spoolEnd > writeStart) await spool.write(output.subarray(0, spoolEnd - writeStart), writeStart);
  }

  return { add };
}

function countBlocks(extents: readonly number[]): number {
  let blocks = 0;
  for (let index = 1; index < extents.length; index += 2) blocks += extents[index] || 1;
  return blocks;
}

/** Uncompressed, what is over whole blocks lies beside the inode. */
function isSmaller({ inode, blocks }: PendingFile): boolean {
  return blocks * BLOCK_BYTES + indexLength(attributesLength(inode), inode.size) < inode.size;
}

function wrongLength(entry: Entry, how: "more" | "fewer"): DiskExportError {
  return new DiskExportError(
    "tree_invalid",
    `cannot read ${shownPath(entry)}: its tree gave ${how} than ${entry.size} bytes`,
  );
}
