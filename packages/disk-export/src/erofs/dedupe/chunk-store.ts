import { hash } from "node:crypto";

const DIGEST_BYTES = 32;
const DIGEST_WORDS: number = DIGEST_BYTES / 4;

/** Knows blocks of data by their SHA-256: 44 to 48 bytes of memory for each that is unlike all before. */
export interface ChunkStore {
  /** The number of this content: from 0, dense, in the order of the first calls. */
  add(bytes: Uint8Array): number;
  /** How many contents there are. */
  count(): number;
}

/** @param capacity of how many contents at most; what is not used takes no memory */
export function createChunkStore(capacity: number): ChunkStore {
  const digests = new Uint8Array(capacity * DIGEST_BYTES + DIGEST_BYTES);
  const words = new Uint32Array(digests.buffer);
  const slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * capacity + 1)));
  let count = 0;

  /** Compares with the digest that lies behind those of all contents. */
  function isLast(id: number): boolean {
    for (let word = 0; word < DIGEST_WORDS; word++) {
      if (words[id * DIGEST_WORDS + word] !== words[count * DIGEST_WORDS + word]) return false;
    }
    return true;
  }

  return {
    add(bytes) {
      digests.set(hash("sha256", bytes, "buffer"), count * DIGEST_BYTES);
      let slot = words[count * DIGEST_WORDS]! % slots.length;
      for (; slots[slot] !== 0; slot = (slot + 1) % slots.length) {
        const id = slots[slot]! - 1;
        if (isLast(id)) return id;
      }
      count += 1;
      slots[slot] = count;
      return count - 1;
    },
    count: () => count,
  };
}
