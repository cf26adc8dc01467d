import type { TreeIndex } from "../tree/tree-index.js";
import type { Protocol } from "./layout.js";

/** Writes replies into one buffer, one at a time. */
export interface Replies {
  /** Where a reply lies until the next is written. */
  readonly buffer: Buffer;
  /** The request that the next reply is for. */
  begin(unique: bigint): void;
  /** Ends a reply with so many bytes of result; gives the length of all of it. */
  end(resultBytes: number): number;
  fail(errno: number): number;
  /** What a node is, at a place of the buffer. */
  attributes(node: number, at: number): void;
  /** A node that was looked up, at a place of the buffer. */
  entry(node: number, at: number): void;
  /** A place of the buffer without meaning. */
  clear(at: number, length: number): void;
  /** A number of 64 bits, negative ones too. */
  number(value: number, at: number): void;
}

/** Self-contained: its text is run in a thread of its own. */
export function createReplies(protocol: Protocol, index: TreeIndex): Replies {
  const { replyHead, attrSize, entrySize, validSeconds } = protocol;
  /** Of a reply: a READDIR of as many pages as the kernel asks for, or a value of 64 KiB. */
  const buffer = Buffer.alloc(replyHead + 128 * 1024);

  function number(value: number, at: number): void {
    const high = Math.floor(value / 2 ** 32);
    buffer.writeUInt32LE(value - high * 2 ** 32, at);
    buffer.writeInt32LE(high, at + 4);
  }

  function attributes(node: number, at: number): void {
    const seconds = index.seconds[node]!;
    const nanoseconds = index.nanoseconds[node]!;
    number(node + 1, at);
    number(index.sizes[node]!, at + 8);
    number(Math.ceil(index.dataBytes[node]! / 512), at + 16);
    for (let time = 0; time < 3; time++) {
      number(seconds, at + 24 + 8 * time);
      buffer.writeUInt32LE(nanoseconds, at + 48 + 4 * time);
    }
    buffer.writeUInt32LE(index.modes[node]!, at + 60);
    buffer.writeUInt32LE(index.links[node]!, at + 64);
    buffer.writeUInt32LE(index.uids[node]!, at + 68);
    buffer.writeUInt32LE(index.gids[node]!, at + 72);
    buffer.writeUInt32LE(index.devices[node]!, at + 76);
    buffer.writeUInt32LE(4096, at + 80);
    buffer.writeUInt32LE(0, at + 84);
  }

  return {
    buffer,
    number,
    attributes,
    begin: (unique) => void buffer.writeBigUInt64LE(unique, 8),
    end(resultBytes) {
      buffer.writeUInt32LE(replyHead + resultBytes, 0);
      buffer.writeInt32LE(0, 4);
      return replyHead + resultBytes;
    },
    fail(errno) {
      buffer.writeUInt32LE(replyHead, 0);
      buffer.writeInt32LE(-errno, 4);
      return replyHead;
    },
    entry(node, at) {
      buffer.fill(0, at, at + entrySize - attrSize);
      number(node + 1, at);
      number(validSeconds, at + 16);
      number(validSeconds, at + 24);
      attributes(node, at + entrySize - attrSize);
    },
    clear: (at, length) => void buffer.fill(0, at, at + length),
  };
}
