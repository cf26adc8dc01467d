import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { alignUp } from "./byte-layout.js";
import type { DiskPlan } from "./disk-plan.js";
import type { WriteDiskOptions } from "./disk-stream.js";
import { DiskExportError } from "./errors.js";
import { addPartitionTable, rootPartitionType } from "./gpt/plan.js";
import { gzipPlan } from "./gzip-plan.js";
import { createDiskPlan } from "./plan-reader.js";
import { addVerity } from "./verity/plan.js";
import { volumeUuid } from "./volume-uuid.js";

const ALIGN_MIN = 512;
const ALIGN_MAX: number = 2 ** 30;

/** What goes around a disk of any format. */
export interface EnvelopeOptions extends CallOptions {
  /**
   * The size becomes a multiple of this by zeros at the end, where every format takes them; a power of two from 512 to 1 GiB. On a disk with
   * a partition table the partition begins at a multiple too.
   */
  alignBytes?: number;
  /**
   * Called while planning reads all data (`verity`, `compression`): bytes read, and all of them. It begins anew for another pass.
   */
  onProgress?: WriteDiskOptions["onProgress"];
}

/** What goes around a file system. */
export interface VolumeOptions extends EnvelopeOptions {
  /**
   * Appends dm-verity's hash tree (SHA-256, blocks of 4,096) as `veritysetup --hash-offset` finds it. Planning then reads all data once: the root hash is
   * in `plan.verity` before anything is written.
   */
  verity?: boolean;
  /**
   * A GUID partition table with the file system as its one partition, a root partition of the Discoverable Partitions Specification for
   * this architecture, named as in images (`amd64`, `arm64`). Without it the disk is the file system.
   */
  gpt?: { architecture: string };
}

/** What goes around an archive. */
export interface ArchiveOptions extends EnvelopeOptions {
  /** `gzip`: planning reads and compresses everything. One version of Node gives the same bytes. `none` by default. */
  compression?: "none" | "gzip";
  /** Where compressed data is kept until the plan is disposed of; the system's temporary directory by default. */
  spoolDirectory?: string;
}

/** What any format may be asked for. */
type EnvelopeRequest = Omit<VolumeOptions & ArchiveOptions, "compression"> & { compression?: string };

/**
 * Refuses what no format has, before any work.
 * @throws {DiskExportError} `option_invalid`; `unsupported` for an architecture without a type of partition
 */
export function requireEnvelope(options: EnvelopeRequest & { format: DiskPlan["format"] }): void {
  const { format, alignBytes, verity, gpt, compression } = options;
  const isArchive = format === "cpio" || format === "tar";
  if (isArchive && (verity === true || gpt !== undefined)) {
    const what = gpt === undefined ? "verity" : "gpt";
    throw new DiskExportError("option_invalid", `cannot use ${what} for ${format}: it is no file system`);
  }
  if (isArchive && compression !== undefined && compression !== "none" && compression !== "gzip") {
    const shown = JSON.stringify(compression);
    throw new DiskExportError("option_invalid", `cannot use compression ${shown} for ${format}: not none or gzip`);
  }
  if (gpt !== undefined) rootPartitionType(gpt.architecture);
  if (alignBytes === undefined) return;
  const isPowerOfTwo = Number.isInteger(Math.log2(alignBytes));
  if (isPowerOfTwo && alignBytes >= ALIGN_MIN && alignBytes <= ALIGN_MAX) return;
  throw new DiskExportError(
    "option_invalid",
    `cannot align to ${alignBytes} bytes: not a power of two from ${ALIGN_MIN} to ${ALIGN_MAX}`,
  );
}

/** Puts around a disk what was asked for. The result owns `plan`; where it fails, `plan` is disposed of. */
export async function wrapPlan(plan: DiskPlan, tree: FileTree, options: EnvelopeRequest): Promise<DiskPlan> {
  let wrapped = plan;
  try {
    const { format } = plan;
    if (format === "cpio" || format === "tar") {
      if (options.compression === "gzip") {
        const { spoolDirectory, signal, onProgress } = options;
        wrapped = await gzipPlan(wrapped, { tree, spoolDirectory, signal, onProgress });
      }
    } else if (options.verity === true || options.gpt !== undefined) {
      const { signal, onProgress } = options;
      const uuid = await volumeUuid({ ...plan, format }, { signal });
      if (options.verity === true) wrapped = await addVerity(wrapped, { tree, uuid, signal, onProgress });
      if (options.gpt !== undefined) {
        const { alignBytes = 1 } = options;
        return addPartitionTable(wrapped, { tree, uuid, architecture: options.gpt.architecture, alignBytes });
      }
    }
    return options.alignBytes === undefined ? wrapped : padPlan(wrapped, tree, options.alignBytes);
  } catch (error) {
    await wrapped[Symbol.asyncDispose]();
    throw error;
  }
}

function padPlan(plan: DiskPlan, tree: FileTree, alignBytes: number): DiskPlan {
  const sizeBytes = alignUp(plan.sizeBytes, alignBytes);
  return createDiskPlan({ ...plan, sizeBytes, tree, dispose: () => plan[Symbol.asyncDispose]() });
}
