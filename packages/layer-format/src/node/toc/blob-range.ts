import { type BlobRange, type CallOptions, type Descriptor, RefsError } from "@lamella/refs";

/** The bytes of a range, forwards, member by member. */
export interface BlobBytes extends AsyncDisposable {
  /** Passes what stands before `offset` of the blob. */
  seek(offset: number): Promise<void>;
  /** The next bytes. Ending early leaves the rest to the next call. Pieces are the source's. */
  take(length: number): AsyncGenerator<Uint8Array>;
}

export function createBlobRange(
  bytes: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  range: BlobRange,
  { signal }: CallOptions,
): BlobBytes {
  const iterator = bytes[Symbol.asyncIterator]();
  let position = range.offset;
  let rest: Uint8Array = new Uint8Array();
  let isDone = false;

  async function* take(length: number): AsyncGenerator<Uint8Array> {
    const end = position + length;
    while (position < end) {
      if (rest.length === 0) rest = await next();
      const piece = rest.subarray(0, end - position);
      rest = rest.subarray(piece.length);
      position += piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async function next(): Promise<Uint8Array> {
    const result = await iterator.next();
    signal?.throwIfAborted();
    if (result.done !== true) return result.value;
    isDone = true;
    const end = range.offset + range.length;
    throw new RefsError(
      "size_mismatch",
      `cannot read layer ${descriptor.digest}: the range ends at ${position}, not ${end}`,
    );
  }

  return {
    take,
    async seek(offset) {
      for await (const _ of take(offset - position)) signal?.throwIfAborted();
    },
    async [Symbol.asyncDispose]() {
      if (!isDone) await iterator.return?.();
    },
  };
}
