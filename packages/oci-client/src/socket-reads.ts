import type { OnReadOpts, Socket } from "node:net";

/** Left to itself, Node allocates 64 KiB for each read: a download then takes a third more time, measured. */
const SLAB_BYTES = 1024 * 1024;
const LEAST_READ_BYTES = 64 * 1024;

/**
 * Lets sockets read into slabs that are filled one read after another, as much at once as there is. Chunks are parts of a slab and
 * nobody else's: they may be kept. One serves any number of sockets.
 */
export function readIntoSlabs(): OnReadOpts {
  // Node calls `buffer` when a socket begins, and after each `callback` of the same socket before any other code runs.
  let rest: Uint8Array | undefined;
  return {
    buffer() {
      const next = rest;
      rest = undefined;
      return next !== undefined && next.byteLength >= LEAST_READ_BYTES ? next : Buffer.allocUnsafeSlow(SLAB_BYTES);
    },
    callback(this: OnReadOpts, byteCount, slab) {
      // Node's types do not tell that it is called on the socket.
      const socket = this as unknown as Socket;
      const wantsMore = socket.push(slab.subarray(0, byteCount));
      rest = slab.subarray(byteCount);
      return wantsMore;
    },
  };
}
