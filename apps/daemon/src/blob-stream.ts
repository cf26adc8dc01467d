import type { ReadableByteStreamController } from "node:stream/web";

import type { ContentStore, OpenBlob } from "@lamella/image-store";
import type { Digest } from "@lamella/refs";
import type { BlobRange } from "@lamella/registry";
import type PQueue from "p-queue";

/** For readers that bring no buffers of their own. */
const CHUNK_BYTES = 512 << 10;

export interface BlobPart extends BlobRange {
  readonly content: ContentStore;
  readonly digest: Digest;
  /** Each read waits for its turn. */
  readonly turns: PQueue;
}

/**
 * Part of a blob, as a stream of bytes: it reads into the buffers that are brought to it (`getReader({ mode: "byob" })`), and only when it is asked to. The blob is opened
 * with the first read, and closed as soon as all is read, a read fails or the stream is cancelled.
 */
export function streamBlob(part: BlobPart): ReadableStream<Uint8Array> {
  const { content, digest, offset, length, turns, signal } = part;
  const end = offset + length;
  let position = offset;
  let blob: OpenBlob | undefined;
  let isLeft = false;
  let pulling: Promise<void> | undefined;

  async function readInto(view: Uint8Array): Promise<number> {
    if (isLeft) return 0;
    blob ??= await content.open(digest, { signal });
    return blob.read(view.subarray(0, end - position), position, { signal });
  }

  async function pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest;
    try {
      const count = (await turns.add(() => readInto(request?.view as Uint8Array))) ?? 0;
      // its buffers are no longer ours
      if (isLeft) return;
      position += count;
      if (count > 0) request?.respond(count);
      if (count > 0 && position < end) return;
      controller.close();
      // whoever waits for more hears only by this that there is none
      controller.byobRequest?.respond(0);
    } catch (error) {
      if (isLeft) return;
      await close();
      throw error;
    }
    await close();
  }

  async function close(): Promise<void> {
    await blob?.[Symbol.asyncDispose]();
  }

  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: Math.max(1, Math.min(CHUNK_BYTES, length)),
    pull: (controller) => (pulling = pull(controller)),
    async cancel() {
      isLeft = true;
      // a file is not closed under a read
      await pulling;
      await close();
    },
  });
}
