import type { Socket } from "node:net";

/** A client is not read from while this much of it waits; it is more than any one message has. */
const HELD_BYTES_MAX = 128 << 10;

/** What a client sends, by the message. One call at a time. */
export interface ByteReader {
  /** Exactly `length` bytes, at most 64 KiB; undefined if the client ends before, or after `stop`. */
  read(length: number): Promise<Buffer | undefined>;
  /** Passes over as many bytes, without keeping them; false if the client ends before. */
  skip(length: number): Promise<boolean>;
  /** From now on there is nothing more to read. */
  stop(): void;
}

export function createByteReader(socket: Socket): ByteReader {
  let held: Buffer = Buffer.alloc(0);
  let ended = false;
  let wake: (() => void) | undefined;

  function end(): void {
    ended = true;
    wake?.();
  }

  function stop(): void {
    end();
    held = Buffer.alloc(0);
  }

  socket.on("data", (chunk: Buffer) => {
    if (ended) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    if (held.length >= HELD_BYTES_MAX) socket.pause();
    wake?.();
  });
  socket.once("end", end);
  socket.once("close", end);

  /** False if there will be none. */
  async function more(): Promise<boolean> {
    if (ended) return false;
    const { promise, resolve } = withResolver();
    wake = resolve;
    socket.resume();
    await promise;
    wake = undefined;
    return true;
  }

  function take(length: number): Buffer {
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  }

  return {
    async read(length) {
      while (held.length < length) if (!(await more())) return undefined;
      return take(length);
    },
    async skip(length) {
      for (let left = length; left > 0;) {
        if (held.length === 0 && !(await more())) return false;
        left -= take(left).length;
      }
      return true;
    },
    stop,
  };
}

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
