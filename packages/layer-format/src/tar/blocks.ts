import { BLOCK_BYTES } from "./layout.js";

/** What `BlockSink.block` gives after the archive's end marker: nothing that follows is looked at. */
export const END_OF_ARCHIVE = -1;

/** Takes a tar apart: blocks, and the data that follows them. Bytes are valid only during the call. */
export interface BlockSink {
  /** The block at `at`. Gives how many bytes of data come before the next block (their padding apart), or `END_OF_ARCHIVE`. */
  block(bytes: Uint8Array, at: number): number;
  data(bytes: Uint8Array): void;
}

/** Cuts a stream of chunks of any size into blocks and data, without copying what lies whole in a chunk. */
export interface BlockFeed {
  push(chunk: Uint8Array): void;
  /** Bytes pushed before the block that is at work. */
  blockOffset(): number;
  /** Where the stream stands, should it end here. */
  position(): "boundary" | "block" | "data" | "padding" | "ended";
}

export function createBlockFeed(sink: BlockSink): BlockFeed {
  const carry = new Uint8Array(BLOCK_BYTES);
  let carried = 0;
  let dataLeft = 0;
  let paddingLeft = 0;
  let ended = false;
  let chunkOffset = 0;
  let blockAt = 0;

  function take(bytes: Uint8Array, at: number): void {
    const following = sink.block(bytes, at);
    if (following === END_OF_ARCHIVE) ended = true;
    else if (following > 0) {
      dataLeft = following;
      paddingLeft = (BLOCK_BYTES - (following % BLOCK_BYTES)) % BLOCK_BYTES;
    }
  }

  /** Completes a block that an earlier chunk began, or keeps the beginning of one. */
  function collect(chunk: Uint8Array, at: number): number {
    const part = chunk.subarray(at, at + BLOCK_BYTES - carried);
    carry.set(part, carried);
    if (carried === 0) blockAt = chunkOffset + at;
    carried += part.length;
    if (carried === BLOCK_BYTES) {
      carried = 0;
      take(carry, 0);
    }
    return at + part.length;
  }

  function push(chunk: Uint8Array): void {
    const { length } = chunk;
    let at = 0;
    while (at < length && !ended) {
      if (dataLeft > 0) {
        const end = Math.min(length, at + dataLeft);
        dataLeft -= end - at;
        sink.data(chunk.subarray(at, end));
        at = end;
      } else if (paddingLeft > 0) {
        const end = Math.min(length, at + paddingLeft);
        paddingLeft -= end - at;
        at = end;
      } else if (carried > 0 || length - at < BLOCK_BYTES) {
        at = collect(chunk, at);
      } else {
        blockAt = chunkOffset + at;
        take(chunk, at);
        at += BLOCK_BYTES;
      }
    }
    chunkOffset += length;
  }

  return {
    push,
    blockOffset: () => blockAt,
    position: () =>
      ended ? "ended" : dataLeft > 0 ? "data" : paddingLeft > 0 ? "padding" : carried > 0 ? "block" : "boundary",
  };
}
