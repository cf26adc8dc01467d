import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { ReadableStreamBYOBReader } from "node:stream/web";

/** What a response holds while it is sent: with less the same bytes take more time (measured), and with more slow clients make us hold more. */
const BUFFER_BYTES = 512 << 10;
/** With more than so many under way at once each further one gets a smaller buffer: so 4,096 clients that take nothing hold less than 400 MiB in all. */
const CROWD = 256;
const CROWDED_BUFFER_BYTES = 64 << 10;

/**
 * Sends a response whose body is a stream of bytes with a Content-Length: out of one buffer, which is filled again when the system has taken what was in it. With a buffer
 * for each chunk, more time goes into getting and giving back memory than into sending (measured). The body is read only as fast as the client takes it, and not before
 * what the client has asked earlier is answered; it is cancelled when the client goes, and when it fails or is short the connection is cut.
 * @returns once it is sent or given up; false for any other response, of which nothing is touched
 */
export type ByteBodySender = (response: Response, outgoing: ServerResponse) => Promise<boolean>;

/** @param onError is told of bodies that fail under way, and not of clients that go */
export function createByteBodySender(onError: (error: unknown) => void): ByteBodySender {
  let underWay = 0;
  return async (response, outgoing) => {
    const reader = readerOf(response);
    if (reader === undefined) return false;
    let failure: unknown;
    // a stream that has failed fails with the same when it is cancelled
    const onLeft = (error: unknown): void => void (error !== failure && onError(error));
    const leave = (): void => void reader.cancel().catch(onLeft);
    outgoing.once("close", leave);
    try {
      if (outgoing.socket === null && !outgoing.destroyed) await once(outgoing, "socket");
      if (outgoing.destroyed) return true;
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      const length = Number(response.headers.get("Content-Length"));
      const bufferBytes = Math.min(length, underWay++ < CROWD ? BUFFER_BYTES : CROWDED_BUFFER_BYTES);
      const isWhole = await sendBytes(reader, { outgoing, length, bufferBytes }).finally(() => underWay--);
      if (isWhole) outgoing.end();
      else outgoing.destroy();
    } catch (error) {
      failure = error;
      if (!outgoing.destroyed) onError(error);
      outgoing.destroy();
    } finally {
      leave();
    }
    return true;
  };
}

function readerOf({ body, headers }: Response): ReadableStreamBYOBReader | undefined {
  if (body === null || !headers.has("Content-Length")) return undefined;
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    // a stream does not tell otherwise that it is none of bytes
    return undefined;
  }
}

interface Sending {
  readonly outgoing: ServerResponse;
  readonly length: number;
  readonly bufferBytes: number;
}

/** False if the client has gone. Throws what the reading throws, or if the body is short. */
async function sendBytes(
  reader: ReadableStreamBYOBReader,
  { outgoing, length, bufferBytes }: Sending,
): Promise<boolean> {
  let buffer: ArrayBufferLike = new ArrayBuffer(bufferBytes);
  for (let left = length; left > 0;) {
    const view: Uint8Array = new Uint8Array(buffer, 0, Math.min(left, buffer.byteLength));
    const { done, value } = await reader.read(view);
    if (outgoing.destroyed) return false;
    if (done) throw new Error(`cannot send a body to its end: ${left} of ${length} bytes are missing`);
    if (!(await write(outgoing, value))) return false;
    left -= value.length;
    buffer = value.buffer;
  }
  return true;
}

/** Whether the system has taken all of it. */
async function write(outgoing: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    const fail = (): void => resolve(false);
    outgoing.once("close", fail);
    outgoing.write(bytes, (error) => {
      outgoing.off("close", fail);
      resolve(error === undefined || error === null);
    });
  });
}
