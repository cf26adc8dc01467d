import { connect } from "node:net";
import type { Socket } from "node:net";

const ANSWER_TIMEOUT_MS = 30_000;
const KEPT_BYTES = 1 << 20;

/** What came back of bytes that were sent as they are. */
export interface RawAnswer {
  /** `undefined` if the connection was closed without an answer. */
  readonly status: number | undefined;
  /** Of the answer, from its first byte: headers and body, at most a mebibyte. */
  readonly text: string;
}

/**
 * Sends bytes that no client would, over a connection of their own, and gives the first answer. What is sent may be endless: it is left when the answer comes.
 * Rejects when neither an answer nor an end comes.
 */
export async function sendRaw(
  port: number,
  bytes: string | Uint8Array | AsyncIterable<Uint8Array>,
): Promise<RawAnswer> {
  const socket = await openSocket(port);
  const chunks: Buffer[] = [];
  let size = 0;
  const text = (): string => Buffer.concat(chunks).toString("latin1");
  const over = new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`neither answered nor hung up: ${JSON.stringify(text().slice(0, 200))}`));
    }, ANSWER_TIMEOUT_MS);
    socket.on("data", (chunk: Buffer) => {
      if (size < KEPT_BYTES) chunks.push(chunk);
      size += chunk.length;
      if (isWhole(text())) resolve();
    });
    socket.on("close", () => resolve());
    socket.once("close", () => clearTimeout(late));
  });
  try {
    await Promise.race([over, send(socket, bytes).then(() => over)]);
  } finally {
    socket.destroy();
  }
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text())?.[1];
  return { status: status === undefined ? undefined : Number(status), text: text() };
}

/** A connection of this test's; its errors are no concern: the other side may cut it at any time. */
export async function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

async function send(socket: Socket, bytes: string | Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
  if (typeof bytes === "string") socket.write(Buffer.from(bytes, "latin1"));
  else if (bytes instanceof Uint8Array) socket.write(bytes);
  else {
    for await (const chunk of bytes) {
      if (socket.destroyed) return;
      if (!socket.write(chunk)) {
        await new Promise<void>((resolve) => {
          socket.once("drain", resolve).once("close", resolve);
        });
      }
    }
  }
}

/** An interim answer (100) is none. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0 || text.startsWith("HTTP/1.1 1")) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1];
  if (length !== undefined) return text.length >= Math.min(end + 4 + Number(length), KEPT_BYTES);
  return text.endsWith("\r\n0\r\n\r\n") || text.length >= KEPT_BYTES;
}
