import { createHash } from "node:crypto";

import type { FileTree } from "@lamella/layer-format";

import { writeByteString, writeInt64 } from "../byte-layout.js";
import type { DiskPlan, Segment } from "../disk-plan.js";
import { passDisk } from "../disk-stream.js";
import type { WriteDiskOptions } from "../disk-stream.js";
import { createDiskPlan } from "../plan-reader.js";
import { deriveUuid } from "../volume-uuid.js";
import { createHashTree } from "./hash-tree.js";
import { ALGORITHM, BLOCK_BYTES, HASH_TYPE, SIGNATURE, SUPERBLOCK, VERSION } from "./layout.js";
import type { Verity } from "./verity.js";

/** What one segment of the tree takes. */
const RUN_BLOCKS = 256;

export interface AddVerityOptions extends Pick<WriteDiskOptions, "onProgress" | "signal"> {
  /** What the disk's file system is read from. */
  tree: FileTree;
  /** Of the file system: salt and UUID come from it, so that the same disk gets the same root hash. */
  uuid: Uint8Array;
}

/** Reads all of a file system once, and plans the same with a hash tree behind it. The plan owns the one that it is made of. */
export async function addVerity(
  plan: DiskPlan,
  { tree, uuid, signal, onProgress }: AddVerityOptions,
): Promise<DiskPlan> {
  const salt = createHash("sha256").update("lamella dm-verity salt").update(uuid).digest();
  const builder = createHashTree(salt);
  await passDisk(plan, { signal, onProgress }, ({ bytes, length }) => {
    if (bytes === undefined) builder.addZeros(length);
    else builder.add(bytes);
    return Promise.resolve();
  });
  const { rootHash, blocks } = builder.finish();
  const hashOffset = plan.sizeBytes;
  const dataBlocks = hashOffset / BLOCK_BYTES;

  const superblock = encodeSuperblock({ uuid: deriveUuid("dm-verity", uuid), salt, dataBlocks });
  const segments: Segment[] = [
    ...plan.segments,
    { offset: hashOffset, length: superblock.length, bytes: () => superblock },
  ];
  for (let first = 0; first < blocks.length; first += RUN_BLOCKS) {
    const run = blocks.slice(first, first + RUN_BLOCKS);
    segments.push({
      offset: hashOffset + (1 + first) * BLOCK_BYTES,
      length: run.length * BLOCK_BYTES,
      bytes: () => Buffer.concat(run),
    });
  }
  const verity: Verity = {
    rootHash: Buffer.from(rootHash).toString("hex"),
    salt: salt.toString("hex"),
    algorithm: ALGORITHM,
    blockBytes: BLOCK_BYTES,
    dataBlocks,
    hashOffset,
  };
  const sizeBytes = hashOffset + (1 + blocks.length) * BLOCK_BYTES;
  const dispose = (): PromiseLike<void> => plan[Symbol.asyncDispose]();
  return createDiskPlan({ ...plan, sizeBytes, segments, verity, tree, dispose });
}

function encodeSuperblock(fields: { uuid: Uint8Array; salt: Uint8Array; dataBlocks: number }): Uint8Array {
  const { uuid, salt, dataBlocks } = fields;
  const block = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(block.buffer);
  writeByteString(SIGNATURE, block, SUPERBLOCK.signature);
  view.setUint32(SUPERBLOCK.version, VERSION, true);
  view.setUint32(SUPERBLOCK.hashType, HASH_TYPE, true);
  block.set(uuid, SUPERBLOCK.uuid);
  writeByteString(ALGORITHM, block, SUPERBLOCK.algorithm);
  view.setUint32(SUPERBLOCK.dataBlockBytes, BLOCK_BYTES, true);
  view.setUint32(SUPERBLOCK.hashBlockBytes, BLOCK_BYTES, true);
  writeInt64(view, SUPERBLOCK.dataBlocks, dataBlocks);
  view.setUint16(SUPERBLOCK.saltLength, salt.length, true);
  block.set(salt, SUPERBLOCK.salt);
  return block;
}
