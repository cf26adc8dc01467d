/** Chunks of layers in memory, unpacked and checked: those used last. */
export interface ChunkMemory {
  get(key: string): Uint8Array | undefined;
  /** Larger ones than a quarter of all are not kept. */
  set(key: string, bytes: Uint8Array): void;
}

export function createChunkMemory(limitBytes: number): ChunkMemory {
  /** The one used last comes last. */
  const chunks = new Map<string, Uint8Array>();
  let heldBytes = 0;

  function remove(key: string, bytes: Uint8Array): void {
    chunks.delete(key);
    heldBytes -= bytes.length;
  }

  return {
    get(key) {
      const bytes = chunks.get(key);
      if (bytes === undefined) return undefined;
      chunks.delete(key);
      chunks.set(key, bytes);
      return bytes;
    },
    set(key, bytes) {
      if (bytes.length > limitBytes / 4) return;
      const former = chunks.get(key);
      if (former !== undefined) remove(key, former);
      chunks.set(key, bytes);
      heldBytes += bytes.length;
      for (const [oldest, held] of chunks) {
        if (heldBytes <= limitBytes) break;
        remove(oldest, held);
      }
    },
  };
}
