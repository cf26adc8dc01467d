import type { FileTree } from "@lamella/layer-format";

import { alignUp } from "../byte-layout.js";
import { parseUuid } from "../disk-identity.js";
import type { DiskPlan } from "../disk-plan.js";
import { DiskExportError } from "../errors.js";
import { createDiskPlan } from "../plan-reader.js";
import { deriveUuid } from "../volume-uuid.js";
import { GROW_FILE_SYSTEM, PARTITION_ALIGNMENT, READ_ONLY, ROOT_TYPES, SECTOR_BYTES, TAIL_SECTORS } from "./layout.js";
import { encodeHead, encodeTail } from "./partition-table.js";
import type { PartitionTable } from "./partition-table.js";

const DISK_ALIGNMENT = 4096;

export interface AddPartitionTableOptions {
  /** What the disk's file system is read from. */
  tree: FileTree;
  /** Of the file system: the disk's and the partition's come from it. */
  uuid: Uint8Array;
  /** As images name it: `amd64`, `arm64`. */
  architecture: string;
  /** A power of two: the partition begins at a multiple of it and of 1 MiB, and the disk's size is a multiple of it and of 4,096. */
  alignBytes: number;
}

/** @throws {DiskExportError} `unsupported` for an architecture that has no type of root partition */
export function rootPartitionType(architecture: string): Uint8Array {
  const type = Object.hasOwn(ROOT_TYPES, architecture) ? ROOT_TYPES[architecture] : undefined;
  if (type !== undefined) return parseUuid(type);
  throw new DiskExportError(
    "unsupported",
    `cannot make a partition for ${JSON.stringify(architecture)}: root partitions have types for ${Object.keys(ROOT_TYPES).join(", ")}`,
  );
}

/** Plans a disk of which a file system is the one partition. The plan owns the one that it is made of. */
export function addPartitionTable(
  plan: DiskPlan,
  { tree, uuid, architecture, alignBytes }: AddPartitionTableOptions,
): DiskPlan {
  const start = Math.max(PARTITION_ALIGNMENT, alignBytes);
  const end = start + plan.sizeBytes + TAIL_SECTORS * SECTOR_BYTES;
  const sizeBytes = alignUp(end, Math.max(DISK_ALIGNMENT, alignBytes));
  const readOnly = plan.format === "erofs" || plan.verity !== undefined;
  const seed = Buffer.from(plan.verity?.rootHash ?? "", "hex");
  const table: PartitionTable = {
    sectorCount: sizeBytes / SECTOR_BYTES,
    diskUuid: deriveUuid("GPT disk", uuid, seed),
    partition: {
      typeUuid: rootPartitionType(architecture),
      uuid: deriveUuid("GPT partition", uuid, seed),
      startSector: start / SECTOR_BYTES,
      sectorCount: plan.sizeBytes / SECTOR_BYTES,
      flags: readOnly ? READ_ONLY : GROW_FILE_SYSTEM,
      name: "root",
    },
  };
  const head = encodeHead(table);
  const tail = encodeTail(table);
  const segments = [
    { offset: 0, length: head.length, bytes: () => head },
    ...plan.segments.map((segment) => ({ ...segment, offset: start + segment.offset })),
    { offset: sizeBytes - tail.length, length: tail.length, bytes: () => tail },
  ];
  const partition = { offset: start, sizeBytes: plan.sizeBytes };
  return createDiskPlan({
    ...plan,
    sizeBytes,
    segments,
    partition,
    tree,
    dispose: () => plan[Symbol.asyncDispose](),
  });
}
