import { type CallOptions, createDigester, type Digest } from "@lamella/refs";

/** Counts and hashes bytes on their way. */
export interface ByteMeter {
  measure(source: AsyncIterable<Uint8Array>, options: CallOptions): AsyncGenerator<Uint8Array>;
  /** What has passed. To be asked for once, at the end. */
  result(): { readonly digest: Digest; readonly size: number };
}

export function createByteMeter(): ByteMeter {
  const digester = createDigester();
  let size = 0;
  return {
    async *measure(source, { signal }) {
      for await (const chunk of source) {
        signal?.throwIfAborted();
        size += chunk.length;
        digester.update(chunk);
        yield chunk;
      }
    },
    result: () => ({ digest: digester.digest(), size }),
  };
}
