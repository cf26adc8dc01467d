import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";

import { createByteReader } from "./byte-reader.js";
import { NbdError } from "./errors.js";
import type { Export } from "./exports.js";
import { shakeHands } from "./handshake.js";
import { createInFlight } from "./in-flight.js";
import { createMessageWriter } from "./message-writer.js";
import type { NbdLimits } from "./limits.js";
import type { Agreement } from "./negotiation.js";
import { serveRequests } from "./transmission.js";
import type { RequestCounts } from "./transmission.js";

export interface ConnectionOptions {
  /** The disks of the moment; they come and go. */
  readonly exports: ReadonlyMap<string, Export>;
  readonly limits: NbdLimits;
  readonly counts: RequestCounts;
  readonly onReadError: (error: unknown) => void;
  /** Is told why a client was cut off. */
  readonly onDrop: (error: unknown) => void;
}

export interface Connection {
  /** What the client chose, once it is through the handshake. */
  readonly disk: Export | undefined;
  /** Takes no more requests; ends when those in flight are answered. */
  stop(): void;
  /** Ends at once. */
  cut(): void;
  /** Resolves when the connection has ended; its reads have ended or are told to. */
  readonly ended: Promise<void>;
}

/** Serves a client until it leaves. Whatever it does ends with its own connection. */
export function serveConnection(socket: Socket, options: ConnectionOptions): Connection {
  const { exports, limits, counts, onReadError, onDrop } = options;
  const gone = new AbortController();
  // each request in flight has one
  setMaxListeners(0, gone.signal);
  const reader = createByteReader(socket);
  const writer = createMessageWriter(socket, { stallMs: limits.stallMs, drop });
  const inFlight = createInFlight({ maxRequests: limits.maxRequests, maxBytes: limits.maxBytes });
  let stopped = false;
  let disk: Export | undefined;

  const ended = new Promise<void>((resolve) => {
    socket.once("close", () => {
      hangUp();
      resolve();
    });
  });
  // a client may go at any time, and "close" follows
  socket.on("error", () => {});

  function hangUp(): void {
    gone.abort(new NbdError("client_gone", "cannot read for a client: it is gone"));
    reader.stop();
    socket.destroy();
  }

  function drop(error: unknown): void {
    const isGone = gone.signal.aborted || (error instanceof NbdError && error.code === "client_gone");
    hangUp();
    if (!isGone) onDrop(error);
  }

  async function shake(): Promise<Agreement | undefined> {
    const timer = setTimeout(() => {
      const state = `it was not through the handshake within ${limits.handshakeMs} ms`;
      drop(new NbdError("client_stalled", `cannot serve a client: ${state}`));
    }, limits.handshakeMs);
    try {
      return await shakeHands({ reader, writer }, exports);
    } finally {
      clearTimeout(timer);
    }
  }

  async function serve(): Promise<void> {
    const agreement = await shake();
    if (agreement !== undefined) {
      ({ disk } = agreement);
      // it may have been removed while the client was told that it has it
      if (exports.get(disk.name) !== disk) return hangUp();
      const { signal } = gone;
      const { readTimeoutMs } = limits;
      const channel = { reader, writer, inFlight, agreement, counts, readTimeoutMs, signal };
      const saidSo = await serveRequests({ ...channel, onReadError, onLost: drop });
      // one that just hangs up takes no replies
      if (!saidSo && !stopped) return hangUp();
      await inFlight.idle();
    }
    // what was sent reaches the client before the end does
    socket.destroySoon();
  }
  serve().catch(drop);

  return {
    get disk() {
      return disk;
    },
    stop() {
      stopped = true;
      reader.stop();
    },
    cut: hangUp,
    ended,
  };
}
