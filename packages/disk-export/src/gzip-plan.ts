import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { DiskPlan } from "./disk-plan.js";
import type { WriteDiskOptions } from "./disk-stream.js";
import { createDiskPlan } from "./plan-reader.js";
import { createSpool } from "./spool.js";

const CHUNK_BYTES = 256 << 10;
/** RFC 1952, section 2.3: which system wrote it, 255 for one that is not told; zlib tells the one that it runs on. */
const SYSTEM_AT = 9;
const SYSTEM_UNKNOWN = 255;

export interface GzipPlanOptions extends Pick<WriteDiskOptions, "onProgress" | "signal"> {
  tree: FileTree;
  /** Where the compressed bytes are kept until the plan is disposed of; the system's temporary directory by default. */
  spoolDirectory: string | undefined;
}

/** Compresses all of an archive into a spool: one member, without a time, a name or a system. The plan owns the one that it is made of. */
export async function gzipPlan(
  plan: DiskPlan,
  { tree, spoolDirectory, signal, onProgress }: GzipPlanOptions,
): Promise<DiskPlan> {
  signal?.throwIfAborted();
  const spool = await createSpool(spoolDirectory);
  let sizeBytes = 0;
  try {
    await pipeline(
      ownedChunks(plan, { signal, onProgress }),
      createGzip({ chunkSize: CHUNK_BYTES }),
      async (compressed: AsyncIterable<Uint8Array>) => {
        for await (const chunk of compressed) {
          if (sizeBytes === 0) chunk[SYSTEM_AT] = SYSTEM_UNKNOWN;
          await spool.write(chunk, sizeBytes);
          sizeBytes += chunk.length;
        }
      },
    );
    signal?.throwIfAborted();
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
  const segments = [{ offset: 0, length: sizeBytes, source: spool, sourceOffset: 0 }];
  const dispose = async (): Promise<void> => {
    await spool[Symbol.asyncDispose]();
    await plan[Symbol.asyncDispose]();
  };
  return createDiskPlan({ ...plan, sizeBytes, segments, tree, dispose });
}

/** A stream holds chunks while a plan makes the next. */
async function* ownedChunks(
  plan: DiskPlan,
  { signal, onProgress }: CallOptions & Pick<WriteDiskOptions, "onProgress">,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of plan.read(0, plan.sizeBytes, { signal })) {
    onProgress?.(done, plan.sizeBytes);
    yield new Uint8Array(chunk);
    done += chunk.length;
  }
  onProgress?.(done, plan.sizeBytes);
}
