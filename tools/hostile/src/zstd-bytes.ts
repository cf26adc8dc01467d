/** zstd by hand (RFC 8878), in blocks that are stored or one byte repeated. */

export interface ZstdFields {
  /** The descriptor byte; 0 is a frame with a window and nothing else. */
  descriptor?: number;
  /** What follows the descriptor: by default a window of 1 MiB. */
  fields?: readonly number[];
  /** What stands after the last block. */
  tail?: Uint8Array;
}

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const BLOCK_BYTES = 128 * 1024;
/** 2^(10 + 10) bytes. */
const WINDOW_1_MIB = 10 << 3;

const STORED = 0;
const REPEATED = 1;

export function zstd(data: Uint8Array, options: ZstdFields = {}): Buffer {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < data.length; at += BLOCK_BYTES) {
    const part = data.subarray(at, at + BLOCK_BYTES);
    blocks.push(blockHeader(STORED, part.length, at + BLOCK_BYTES >= data.length), part);
  }
  return frame(blocks, options);
}

/** A frame of `data` and then `blockCount` blocks of 128 KiB of zeros, four bytes each. */
export function zstdZeros(data: Uint8Array, blockCount: number): Buffer {
  const zeros = Buffer.concat([blockHeader(REPEATED, BLOCK_BYTES, false), Buffer.alloc(1)]);
  const last = Buffer.concat([blockHeader(REPEATED, BLOCK_BYTES, true), Buffer.alloc(1)]);
  const head = [blockHeader(STORED, data.length, false), data];
  return frame([...head, ...Array.from({ length: blockCount - 1 }, () => zeros), last], {});
}

/** A frame that decoders have to pass over (section 3.1.2). */
export function skippable(data: Uint8Array, number = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + number, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data]);
}

function frame(blocks: readonly Uint8Array[], { descriptor = 0, fields = [WINDOW_1_MIB], tail }: ZstdFields): Buffer {
  return Buffer.concat([Buffer.from([...MAGIC, descriptor, ...fields]), ...blocks, tail ?? Buffer.alloc(0)]);
}

function blockHeader(type: number, size: number, last: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3);
  return header;
}
