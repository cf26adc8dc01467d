import type { BlockSource } from "../src/index.js";

/** A disk whose every byte tells where it is, but for its holes; chunks are used anew as the contract allows. */
export function patternSource(
  sizeBytes: number,
  { segments, chunkBytes = 10_000 }: { segments?: BlockSource["segments"]; chunkBytes?: number } = {},
): BlockSource & { readonly whole: Buffer; readonly reads: { offset: number; length: number }[] } {
  const whole = Buffer.alloc(sizeBytes);
  for (const { offset, length } of segments ?? [{ offset: 0, length: sizeBytes }])
    for (let at = offset; at < offset + length; at++) whole[at] = 1 + ((at * 7 + (at >> 8)) % 255);
  const reads: { offset: number; length: number }[] = [];
  return {
    sizeBytes,
    ...(segments && { segments }),
    whole,
    reads,
    async *read(offset, length, { signal } = {}) {
      signal?.throwIfAborted();
      reads.push({ offset, length });
      const buffer = Buffer.alloc(chunkBytes);
      for (let at = offset; at < offset + length; at += chunkBytes) {
        const chunk = buffer.subarray(0, Math.min(chunkBytes, offset + length - at));
        whole.copy(chunk, 0, at, at + chunk.length);
        yield chunk;
        buffer.fill(0xbb);
        await Promise.resolve();
      }
    },
  };
}

/** One of which no read ends, whatever it is told; `signals` are those that it was given. */
export function hangingSource(sizeBytes: number): BlockSource & { readonly signals: AbortSignal[] } {
  const signals: AbortSignal[] = [];
  return {
    sizeBytes,
    signals,
    async *read(_offset, _length, { signal } = {}) {
      signals.push(signal!);
      await new Promise(() => {});
      yield new Uint8Array(0);
    },
  };
}
