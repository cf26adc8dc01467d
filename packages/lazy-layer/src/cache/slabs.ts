/** Pieces of files in memory that small reads are served from: those used last. */
export interface Slabs {
  get(name: string, index: number): Uint8Array | undefined;
  set(name: string, index: number, bytes: Uint8Array): void;
  /** Forgets those of a file. */
  remove(name: string): void;
  clear(): void;
}

/** Bytes of one slab. */
export const SLAB_BYTES: number = 128 * 1024;

export function createSlabs(limit: number): Slabs {
  /** The one used last comes last. */
  const slabs = new Map<string, Uint8Array>();
  return {
    get(name, index) {
      const key = `${name}/${index}`;
      const bytes = slabs.get(key);
      if (bytes === undefined) return undefined;
      slabs.delete(key);
      slabs.set(key, bytes);
      return bytes;
    },
    set(name, index, bytes) {
      slabs.set(`${name}/${index}`, bytes);
      const [oldest] = slabs.keys();
      if (slabs.size > limit && oldest !== undefined) slabs.delete(oldest);
    },
    remove(name) {
      for (const key of slabs.keys()) if (key.startsWith(`${name}/`)) slabs.delete(key);
    },
    clear: () => slabs.clear(),
  };
}
