import { closeSync, writevSync } from "node:fs";

import { PROTOCOL } from "../protocol/layout.js";

/** Where answers go that the serving thread has not given itself: one write each. Nothing is written after it is closed. */
export interface ReplyDevice {
  reply(unique: bigint, result: Uint8Array): void;
  fail(unique: bigint, errno: number): void;
  close(): void;
}

/** Takes over an open /dev/fuse. */
export function createReplyDevice(fd: number): ReplyDevice {
  const head = Buffer.alloc(PROTOCOL.replyHead);
  let isClosed = false;

  function write(unique: bigint, errno: number, result: readonly Uint8Array[]): void {
    if (isClosed) return;
    const length = result.reduce((sum, part) => sum + part.length, head.length);
    head.writeUInt32LE(length, 0);
    head.writeInt32LE(-errno, 4);
    head.writeBigUInt64LE(unique, 8);
    try {
      writevSync(fd, [head, ...result]);
    } catch (error) {
      // Whoever asked has gone, or the whole mount.
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENODEV") return;
      // Who asked would wait for ever.
      if (errno === 0) write(unique, PROTOCOL.errno.EIO, []);
      else throw error;
    }
  }

  return {
    reply: (unique, result) => write(unique, 0, result.length === 0 ? [] : [result]),
    fail: (unique, errno) => write(unique, errno, []),
    close() {
      if (!isClosed) closeSync(fd);
      isClosed = true;
    },
  };
}
