import { discard } from "./body.js";
import type { Upload } from "./blob-upload.js";
import { OciClientError } from "./errors.js";
import { isTransient } from "./network-error.js";
import type { FollowedResponse } from "./redirect.js";
import { pause, retry } from "./retry.js";
import type { Session } from "./session.js";
import { placeOf, type UploadPlace, withQuery } from "./upload-place.js";

/** What a registry may ask us to hold in memory. */
const MAX_CHUNK_BYTES = 256 * 1024 * 1024;

interface ChunkedUpload {
  readonly session: Session;
  readonly verb: string;
  readonly signal: AbortSignal | undefined;
  place: UploadPlace;
}

/**
 * POST has been answered: PATCH for each chunk, then PUT (distribution-spec, "Pushing a blob in chunks"). After a PATCH that broke, the
 * registry is asked how much it has, and only the rest of the chunk is sent again.
 */
export async function uploadInChunks(session: Session, { descriptor, place, content, options }: Upload): Promise<void> {
  const { signal } = options;
  const verb = `push blob ${descriptor.digest}`;
  const chunkBytes = Math.max(options.chunkBytes ?? 0, place.minChunkBytes, 1);
  if (chunkBytes > MAX_CHUNK_BYTES) {
    const state = `chunks of ${chunkBytes} bytes are over the limit of ${MAX_CHUNK_BYTES}`;
    throw new OciClientError("too_large", `cannot ${session.act(verb)}: ${state}`);
  }
  const upload: ChunkedUpload = { session, verb, signal, place };
  let offset = 0;
  for await (const chunk of inPieces(content, Math.min(chunkBytes, Math.max(descriptor.size, 1)))) {
    await sendChunk(upload, chunk, offset);
    offset += chunk.byteLength;
  }
  await finish(upload, `digest=${encodeURIComponent(descriptor.digest)}`);
}

async function sendChunk(upload: ChunkedUpload, chunk: Uint8Array, start: number): Promise<void> {
  const { retry: policy } = upload.session.context;
  let sent = 0;
  for (let failures = 1; sent < chunk.byteLength; failures++) {
    try {
      await patch(upload, chunk.subarray(sent), start + sent);
      return;
    } catch (error) {
      if (failures >= policy.attempts || !(isTransient(error) || isOutOfStep(error))) throw error;
      if (isTransient(error)) await pause(policy, { failures, error }, upload);
      sent = (await askReceived(upload)) - start;
      if (sent >= 0 && sent <= chunk.byteLength) continue;
      const state = `the registry has ${start + sent} bytes, ${start} to ${start + chunk.byteLength} were expected`;
      throw new OciClientError("protocol", `cannot ${upload.session.act(upload.verb)}: ${state}`, { cause: error });
    }
  }
}

/** 416: the registry has another part of the content than we think, as after an answer that was lost. */
function isOutOfStep(error: unknown): boolean {
  return error instanceof OciClientError && error.status === 416;
}

async function patch(upload: ChunkedUpload, bytes: Uint8Array, offset: number): Promise<void> {
  const { session, verb, signal, place } = upload;
  const response = await session.send({
    method: "PATCH",
    target: place.url,
    headers: {
      "content-type": "application/octet-stream",
      "content-length": String(bytes.byteLength),
      "content-range": `${offset}-${offset + bytes.byteLength - 1}`,
    },
    body: bytes,
    verb,
    access: "push",
    statuses: [202, 204],
    signal,
  });
  await discard(response.body);
  advance(upload, response);
  const { receivedBytes } = upload.place;
  if (receivedBytes !== undefined && bytes.byteLength > 1 && receivedBytes !== offset + bytes.byteLength) {
    const state = `the registry took ${receivedBytes} of ${offset + bytes.byteLength} bytes`;
    throw new OciClientError("protocol", `cannot ${session.act(verb)}: ${state}`);
  }
}

/** How many bytes the registry has of the upload (distribution-spec, GET on the upload's location). */
async function askReceived(upload: ChunkedUpload): Promise<number> {
  const { session, verb, signal } = upload;
  const ask = async (): Promise<FollowedResponse> => {
    const response = await session.send({
      method: "GET",
      target: upload.place.url,
      verb,
      access: "push",
      statuses: [200, 204],
      signal,
    });
    await discard(response.body);
    return response;
  };
  advance(upload, await retry(session.context.retry, ask, { signal }));
  if (upload.place.receivedBytes === undefined) {
    throw new OciClientError("protocol", `cannot ${session.act(verb)}: the registry does not say how much it has`);
  }
  return upload.place.receivedBytes;
}

async function finish(upload: ChunkedUpload, query: string): Promise<void> {
  const { session, verb, signal } = upload;
  const put = async (): Promise<void> => {
    const response = await session.send({
      method: "PUT",
      target: withQuery(upload.place.url, query),
      headers: { "content-length": "0" },
      verb,
      access: "push",
      statuses: [201, 204],
      signal,
    });
    await discard(response.body);
  };
  await retry(session.context.retry, put, { signal });
}

/** Each answer may name another place for the next request; one without a place keeps the old. */
function advance(upload: ChunkedUpload, response: FollowedResponse): void {
  const { url, minChunkBytes } = upload.place;
  const headers = {
    get: (name: string): string | null => response.headers.get(name) ?? (name === "location" ? url.href : null),
  };
  upload.place = { ...placeOf(upload.session, { ...response, headers }, upload.verb), minChunkBytes };
}

/** The content in pieces of one size, but for the last. Each has its own memory. */
async function* inPieces(content: AsyncIterable<Uint8Array>, pieceBytes: number): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(pieceBytes);
  let filled = 0;
  for await (const chunk of content) {
    let taken = 0;
    while (taken < chunk.byteLength) {
      const part = chunk.subarray(taken, taken + pieceBytes - filled);
      piece.set(part, filled);
      taken += part.byteLength;
      filled += part.byteLength;
      if (filled < pieceBytes) continue;
      yield piece;
      piece = new Uint8Array(pieceBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
