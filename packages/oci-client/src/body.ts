import { OciClientError } from "./errors.js";

const DISCARD_BYTES = 64 * 1024;
const GATHER_BYTES = 64 * 1024;

/**
 * Reads a small answer into memory.
 * @throws {OciClientError} `too_large`
 */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  { limitBytes, act }: { limitBytes: number; act: string },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > limitBytes) {
      throw new OciClientError("too_large", `cannot ${act}: the answer is over its limit of ${limitBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return concat(chunks, size);
}

/** The beginning of an answer that may be longer, and the end of its iteration. */
export async function readStart(body: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size >= limitBytes) break;
  }
  return concat(chunks, size).subarray(0, limitBytes);
}

/** Lets go of an answer: a short one is read to its end, so that its connection can serve again. */
export async function discard(body: AsyncIterable<Uint8Array>): Promise<void> {
  await readStart(body, DISCARD_BYTES);
}

/** Joins small chunks until they are worth a turn of every stage of a pipeline. Large ones pass without a copy. */
export async function* gather(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size < GATHER_BYTES) continue;
    yield chunks.length === 1 ? chunk : concat(chunks, size);
    chunks = [];
    size = 0;
  }
  if (size > 0) yield concat(chunks, size);
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}
