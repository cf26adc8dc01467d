import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createDiskIdentity, encodeLabel, parseUuid } from "../disk-identity.js";
import type { DiskPlan } from "../disk-plan.js";
import { compressIntoSpool, findCompression } from "./compression/compression.js";
import { shareBlocks } from "./dedupe/dedupe.js";
import { inodeNid } from "./inode.js";
import { BLOCK_BYTES, FEATURE_CHUNKED_FILES, FEATURE_COMPRESSION_CONFIGS, FEATURE_ZERO_PADDING } from "./layout.js";
import { filesInDataOrder, placeInodes } from "./placement.js";
import { listSegments } from "./segments.js";
import { encodeSuperblock } from "./superblock.js";
import { readErofsTree } from "./tree.js";
import type { CompressionAlgorithm } from "./compression/unit-compressor.js";
import { createXattrTable } from "./xattr.js";
import { DiskExportError } from "../errors.js";
import { requireKernel } from "../kernel-version.js";
import type { KernelFeature } from "../kernel-version.js";
import { createLossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";
import type { Spool } from "../spool.js";

const PLAIN_FEATURE: KernelFeature = { name: "EROFS", since: "5.4" };
const CHUNKED_FEATURE: KernelFeature = { name: "files in chunks", since: "5.15" };

export interface ErofsOptions extends CallOptions {
  /** `8-4-4-4-12` hex digits; by default made of the tree's metadata, so that the same tree gives the same disk. */
  uuid?: string;
  /** At most 16 bytes of UTF-8; empty by default. */
  label?: string;
  /** When the disk was made, in whole seconds since 1970; 0 by default. Files keep their own times. */
  epochSeconds?: number;
  /**
   * How file data is compressed; `none` by default. `lz4` gives the same bytes everywhere, `deflate` and `zstd` (Node 22.15 and later)
   * with the same version of Node.
   */
  compression?: "none" | CompressionAlgorithm;
  /** How many threads compress; as many as there are cores by default. */
  threads?: number;
  /** Where compressed data is kept until the plan is disposed of, in a file without a name; the system's temporary directory by default. */
  spoolDirectory?: string;
  /**
   * Files that are equal, and blocks of 4 KiB that are, share their place, and holes of sparse files take none. Not together with `compression` or
   * `wholeBlocks`. Linux 5.15 and later.
   */
  dedupe?: boolean;
  /** Called while files are compressed or compared: bytes read, and all of them. */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
  /**
   * Every file's data begins and ends with a block of its own, none lies beside its inode: what another disk may refer to
   * (`planErofsMerge`). The disk is larger for it.
   */
  wholeBlocks?: boolean;
  /** A version of Linux that has to read the disk, as "6.1". */
  kernel?: string;
}

/**
 * Plans an EROFS disk: 4 KiB blocks, extended inodes, inline tails, xattrs that several inodes have kept once. Every Linux since 5.4 mounts it; with LZ4
 * every one since 5.13, with deflate since 6.6, with zstd since 6.10.
 *
 * Uncompressed, the entries alone fix the disk. Compressed, how long the data gets decides where everything lies: then planning reads and
 * compresses all files, on several threads, into a spool file, which has up to the size of the disk until the plan is disposed of.
 * Files that do not get smaller, those of 4 KiB and less, and sparse ones stay as they are, and are read from the tree.
 *
 * With `dedupe` planning reads all files once too, and keeps 48 bytes for each block of 4 KiB (12 MiB for each GiB), but no data.
 *
 * Holes of sparse files take room on the disk (but with `dedupe`) and read as zeros; a file of the disk keeps them as holes. Losses that
 * a plan can note: xattrs in a namespace that EROFS has no number for, POSIX ACLs that are none (which would make a file unreadable).
 *
 * @throws {DiskExportError} `unsupported` for what the format, the kernel asked for or this Node cannot do, `option_invalid`,
 *   `tree_invalid`, `write_failed` for the spool
 */
export async function planErofs(tree: FileTree, options: ErofsOptions = {}): Promise<DiskPlan> {
  const { signal, epochSeconds = 0 } = options;
  signal?.throwIfAborted();
  const label = encodeLabel(options.label ?? "");
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  if (!Number.isSafeInteger(epochSeconds) || epochSeconds < 0) {
    throw new DiskExportError("option_invalid", `cannot use epochSeconds ${epochSeconds}: not a whole number from 0`);
  }

  const { compression: algorithm = "none", dedupe = false, onProgress } = options;
  const compression = algorithm === "none" ? undefined : findCompression(algorithm);
  requireDedupable(options);
  const features = [PLAIN_FEATURE];
  if (compression !== undefined) features.push(compression.feature);
  if (dedupe) features.push(CHUNKED_FEATURE);
  const kernel = requireKernel(features, options.kernel);

  const losses = createLossCollector();
  const identity = createDiskIdentity("erofs");
  const xattrs = createXattrTable();
  const inodes = await readErofsTree(tree, { losses, identity, xattrs, signal });
  if (dedupe) await shareBlocks(filesInDataOrder(inodes), { tree, onProgress, signal });
  if (algorithm === "none") return planOf(undefined);
  const { threads, spoolDirectory } = options;
  const spool = await compressIntoSpool(filesInDataOrder(inodes), {
    tree,
    algorithm,
    threads,
    spoolDirectory,
    onProgress,
    signal,
  });
  try {
    return planOf(spool);
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }

  function planOf(spool: Spool | undefined): DiskPlan {
    const placement = placeInodes(inodes, {
      xattrAreaLength: xattrs.areaLength(),
      wholeBlocks: options.wholeBlocks ?? false,
    });
    const superblock = encodeSuperblock({
      rootNid: inodeNid(placement.inodes[0]!),
      inodeCount: placement.inodes.length,
      blockCount: placement.blockCount,
      buildSeconds: epochSeconds,
      xattrBlock: xattrs.areaLength() === 0 ? 0 : Math.floor(placement.xattrAreaStart / BLOCK_BYTES),
      uuid: givenUuid ?? identity.uuid(),
      label,
      featuresIncompat:
        (compression === undefined ? 0 : FEATURE_ZERO_PADDING | FEATURE_COMPRESSION_CONFIGS) |
        (dedupe ? FEATURE_CHUNKED_FILES : 0),
      compression,
    });
    return createDiskPlan({
      format: "erofs",
      sizeBytes: placement.blockCount * BLOCK_BYTES,
      segments: listSegments({ superblock, placement, xattrs, spool }),
      losses: losses.list(),
      kernel,
      tree,
      dispose: spool && (() => spool[Symbol.asyncDispose]()),
    });
  }
}

function requireDedupable({ dedupe = false, compression = "none", wholeBlocks = false }: ErofsOptions): void {
  if (!dedupe || (compression === "none" && !wholeBlocks)) return;
  const other = wholeBlocks ? "wholeBlocks" : `compression ${JSON.stringify(compression)}`;
  throw new DiskExportError("option_invalid", `cannot use dedupe together with ${other}: they place data otherwise`);
}
