import { createHash } from "node:crypto";

import { BLOCK_BYTES, DIGEST_BYTES, DIGESTS_PER_BLOCK } from "./layout.js";

/** Takes a disk's bytes in their order and keeps the digests: 8 MiB for each GiB that is not zeros. */
export interface HashTreeBuilder {
  add(bytes: Uint8Array): void;
  /** So many zeros: they cost next to nothing. */
  addZeros(length: number): void;
  /** Ends the data, which is whole blocks. */
  finish(): HashTree;
}

interface HashTree {
  readonly rootHash: Uint8Array;
  /** As they lie on the disk, the top level first. Blocks may be one and the same array. */
  readonly blocks: readonly Uint8Array[];
}

interface Level {
  readonly blocks: Uint8Array[];
  /** The block that is not full yet, and how many digests it has. */
  open: Uint8Array;
  digestCount: number;
}

export function createHashTree(salt: Uint8Array): HashTreeBuilder {
  const levels: Level[] = [];
  const block = new Uint8Array(BLOCK_BYTES);
  let used = 0;
  const zeroDigest = digestOf(block);
  const zeroLevelBlock = new Uint8Array(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += DIGEST_BYTES) zeroLevelBlock.set(zeroDigest, at);
  const zeroLevelDigest = digestOf(zeroLevelBlock);

  function digestOf(bytes: Uint8Array): Uint8Array {
    return createHash("sha256").update(salt).update(bytes).digest();
  }

  function addDigest(height: number, digest: Uint8Array): void {
    const level = levelAt(height);
    level.open.set(digest, level.digestCount * DIGEST_BYTES);
    level.digestCount += 1;
    if (level.digestCount === DIGESTS_PER_BLOCK) closeBlock(height, level);
  }

  function levelAt(height: number): Level {
    return (levels[height] ??= { blocks: [], open: new Uint8Array(BLOCK_BYTES), digestCount: 0 });
  }

  function closeBlock(height: number, level: Level): void {
    level.blocks.push(level.open);
    const digest = digestOf(level.open);
    level.open = new Uint8Array(BLOCK_BYTES);
    level.digestCount = 0;
    addDigest(height + 1, digest);
  }

  function addZeroBlocks(count: number): void {
    for (let left = count; left > 0;) {
      const level = levelAt(0);
      if (level.digestCount === 0 && left >= DIGESTS_PER_BLOCK) {
        level.blocks.push(zeroLevelBlock);
        addDigest(1, zeroLevelDigest);
        left -= DIGESTS_PER_BLOCK;
      } else {
        addDigest(0, zeroDigest);
        left -= 1;
      }
    }
  }

  function add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (used === 0 && bytes.length - at >= BLOCK_BYTES) {
        addDigest(0, digestOf(bytes.subarray(at, at + BLOCK_BYTES)));
        at += BLOCK_BYTES;
        continue;
      }
      const part = bytes.subarray(at, at + BLOCK_BYTES - used);
      block.set(part, used);
      at += part.length;
      used += part.length;
      if (used < BLOCK_BYTES) continue;
      addDigest(0, digestOf(block));
      used = 0;
    }
  }

  return {
    add,
    addZeros(length) {
      const head = used === 0 ? 0 : Math.min(BLOCK_BYTES - used, length);
      add(new Uint8Array(head));
      const count = Math.floor((length - head) / BLOCK_BYTES);
      addZeroBlocks(count);
      add(new Uint8Array(length - head - count * BLOCK_BYTES));
    },
    finish() {
      for (let height = 0; ; height++) {
        const level = levelAt(height);
        const isTop = level.blocks.length === 0 && level.digestCount === 1;
        if (isTop) {
          const below = levels.slice(0, height).reverse();
          return { rootHash: level.open.slice(0, DIGEST_BYTES), blocks: below.flatMap(({ blocks }) => blocks) };
        }
        if (level.digestCount > 0) closeBlock(height, level);
      }
    },
  };
}
