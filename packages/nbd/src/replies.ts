import {
  CHUNK,
  CHUNK_DONE,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
} from "./protocol.js";

const MESSAGE_BYTES_MAX = 1000;

/** A message, and the part of it that is for the disk's bytes; that part still holds anything. */
export interface DataMessage {
  readonly message: Buffer;
  readonly data: Buffer;
}

interface ChunkHead {
  readonly cookie: bigint;
  readonly last: boolean;
}

/** "Simple reply message", with room for data where it is the answer to a read. */
export function simpleReply(
  cookie: bigint,
  { error = 0, length = 0 }: { error?: number; length?: number },
): DataMessage {
  const message = Buffer.allocUnsafe(SIMPLE_REPLY_BYTES + length);
  message.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  message.writeUInt32BE(error, 4);
  message.writeBigUInt64BE(cookie, 8);
  return { message, data: message.subarray(SIMPLE_REPLY_BYTES) };
}

/** `NBD_REPLY_TYPE_NONE`: all is said. */
export function emptyChunk(cookie: bigint): Buffer {
  return chunk({ cookie, last: true }, CHUNK.none, 0).message;
}

/** `NBD_REPLY_TYPE_OFFSET_DATA`, with room for the data. */
export function dataChunk(head: ChunkHead, offset: number, length: number): DataMessage {
  const { message, payload } = chunk(head, CHUNK.data, 8 + length);
  payload.writeBigUInt64BE(BigInt(offset), 0);
  return { message, data: payload.subarray(8) };
}

/** `NBD_REPLY_TYPE_OFFSET_HOLE` */
export function holeChunk(head: ChunkHead, offset: number, length: number): Buffer {
  const { message, payload } = chunk(head, CHUNK.hole, 12);
  payload.writeBigUInt64BE(BigInt(offset), 0);
  payload.writeUInt32BE(length, 8);
  return message;
}

/** `NBD_REPLY_TYPE_BLOCK_STATUS`, which is all of its reply. */
export function blockStatusChunk(
  cookie: bigint,
  contextId: number,
  extents: readonly { readonly length: number; readonly flags: number }[],
): Buffer {
  const { message, payload } = chunk({ cookie, last: true }, CHUNK.blockStatus, 4 + 8 * extents.length);
  payload.writeUInt32BE(contextId, 0);
  for (const [index, { length, flags }] of extents.entries()) {
    payload.writeUInt32BE(length, 4 + 8 * index);
    payload.writeUInt32BE(flags, 8 + 8 * index);
  }
  return message;
}

/** `NBD_REPLY_TYPE_ERROR`, which ends its reply. */
export function errorChunk(cookie: bigint, error: number, text: string): Buffer {
  const bytes = boundedText(text);
  const { message, payload } = chunk({ cookie, last: true }, CHUNK.error, 6 + bytes.length);
  payload.writeUInt32BE(error, 0);
  payload.writeUInt16BE(bytes.length, 4);
  payload.set(bytes, 6);
  return message;
}

function chunk({ cookie, last }: ChunkHead, type: number, length: number): { message: Buffer; payload: Buffer } {
  const message = Buffer.allocUnsafe(STRUCTURED_REPLY_BYTES + length);
  message.writeUInt32BE(STRUCTURED_REPLY_MAGIC, 0);
  message.writeUInt16BE(last ? CHUNK_DONE : 0, 4);
  message.writeUInt16BE(type, 6);
  message.writeBigUInt64BE(cookie, 8);
  message.writeUInt32BE(length, 16);
  return { message, payload: message.subarray(STRUCTURED_REPLY_BYTES) };
}

/** Cut between characters, of which none takes more than four bytes. */
function boundedText(text: string): Uint8Array {
  const target = new Uint8Array(MESSAGE_BYTES_MAX);
  return target.subarray(0, new TextEncoder().encodeInto(text, target).written);
}
