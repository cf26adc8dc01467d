import { availableParallelism } from "node:os";
import zlib from "node:zlib";

import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { compressFiles } from "./compress-files.js";
import { compressionScript } from "./compression-script.js";
import type { ErofsInode } from "../inode.js";
import { COMPRESSION } from "../layout.js";
import type { CompressionConfig } from "../superblock.js";
import type { CompressionAlgorithm, CompressionJob, CompressionResult } from "./unit-compressor.js";
import { DiskExportError } from "../../errors.js";
import type { KernelFeature } from "../../kernel-version.js";
import { createSpool } from "../../spool.js";
import type { Spool } from "../../spool.js";
import { createWorkerPool } from "../../worker-pool.js";

const THREADS_MAX = 256;

interface Compression extends CompressionConfig {
  readonly feature: KernelFeature;
}

const COMPRESSIONS: Readonly<Record<CompressionAlgorithm, Compression>> = {
  lz4: {
    algorithm: COMPRESSION.lz4,
    // How far back a match may lie (le16), how many blocks an extent may have (le16), ten bytes reserved.
    config: Uint8Array.of(0xff, 0xff, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    feature: { name: "LZ4 compression in extents of several blocks", since: "5.13" },
  },
  deflate: {
    algorithm: COMPRESSION.deflate,
    // The window is 2^15 bytes; five bytes reserved.
    config: Uint8Array.of(15, 0, 0, 0, 0, 0),
    feature: { name: "deflate compression", since: "6.6" },
  },
  zstd: {
    algorithm: COMPRESSION.zstd,
    // Format 0; the window is at most 2^(10 + 6) bytes; four bytes reserved.
    config: Uint8Array.of(0, 6, 0, 0, 0, 0),
    feature: { name: "zstd compression", since: "6.10" },
  },
};

export interface CompressTreeOptions extends CallOptions {
  tree: FileTree;
  algorithm: CompressionAlgorithm;
  threads: number | undefined;
  spoolDirectory: string | undefined;
  onProgress: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/**
 * What an algorithm needs of the superblock and of a kernel.
 * @throws {DiskExportError} `option_invalid` for another name; `unsupported` where this Node has no zstd
 */
export function findCompression(algorithm: CompressionAlgorithm): Compression {
  if (!Object.hasOwn(COMPRESSIONS, algorithm)) {
    const shown = JSON.stringify(algorithm);
    throw new DiskExportError("option_invalid", `cannot use compression ${shown}: not none, lz4, deflate or zstd`);
  }
  if (algorithm === "zstd" && !("zstdCompressSync" in zlib)) {
    throw new DiskExportError(
      "unsupported",
      `cannot compress with zstd: Node ${process.versions.node} has no encoder, 22.15 is the first that has`,
    );
  }
  return COMPRESSIONS[algorithm];
}

/**
 * Compresses files into a spool, which is the caller's to dispose of.
 * @throws {DiskExportError} `option_invalid` for a number of threads; what {@link compressFiles} throws
 */
export async function compressIntoSpool(
  files: readonly ErofsInode[],
  { tree, algorithm, threads = availableParallelism(), spoolDirectory, onProgress, signal }: CompressTreeOptions,
): Promise<Spool> {
  if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX) {
    throw new DiskExportError(
      "option_invalid",
      `cannot compress with ${threads} threads: not a whole number from 1 to ${THREADS_MAX}`,
    );
  }
  const spool = await createSpool(spoolDirectory);
  try {
    await using pool = createWorkerPool<CompressionJob, CompressionResult>({
      script: compressionScript(),
      size: threads,
    });
    await compressFiles(files, { tree, algorithm, pool, spool, onProgress, signal });
    return spool;
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
}
