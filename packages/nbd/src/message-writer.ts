import type { Socket } from "node:net";

import { NbdError } from "./errors.js";

/** A client that takes so much within the time limit is a slow one; one that does not has stalled. */
const SLICE_BYTES = 256 << 10;

export interface MessageWriterOptions {
  readonly stallMs: number;
  /** Cuts the client off. */
  readonly drop: (error: NbdError) => void;
}

/** Sends messages whole, one after the other, however many are given at once. */
export interface MessageWriter {
  /** Resolves when the system has taken the message; rejects with `client_gone` when the connection is no more. */
  send(message: Uint8Array): Promise<void>;
}

/** Drops a client that does not take 256 KiB within `stallMs`. */
export function createMessageWriter(socket: Socket, { stallMs, drop }: MessageWriterOptions): MessageWriter {
  let last = Promise.resolve();

  async function writeSlices(message: Uint8Array): Promise<void> {
    for (let at = 0; at < message.length; at += SLICE_BYTES) await writeSlice(message.subarray(at, at + SLICE_BYTES));
  }

  function writeSlice(slice: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const state = `it did not take ${slice.length} bytes within ${stallMs} ms`;
        drop(new NbdError("client_stalled", `cannot answer a client: ${state}`));
      }, stallMs);
      socket.write(slice, (error) => {
        clearTimeout(timer);
        if (error) reject(new NbdError("client_gone", "cannot answer a client: it is gone", { cause: error }));
        else resolve();
      });
    });
  }

  return {
    send(message) {
      const sent = last.then(() => writeSlices(message));
      // its sender is told of a failure; the next message has one of its own
      last = sent.catch(() => {});
      return sent;
    },
  };
}
