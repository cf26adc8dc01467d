import { parseRange } from "./byte-range.js";

/** Bytes for a client, and what to give up when it has them or is gone. */
export interface Download extends AsyncDisposable {
  readonly sizeBytes: number;
  /** Strong, without quotes: the same as long as the bytes are. */
  readonly tag: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Each chunk stays as it is. */
  read(offset: number, length: number, options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array>;
}

/**
 * Answers GET and HEAD: all of it, one range, or that the client has it (RFC 9110). It is read as fast as the client takes it, and disposed of in the end, however that
 * comes.
 * @param onError is told of reads that fail under way; the client sees the connection end too early
 */
export async function sendDownload(
  request: Request,
  download: Download,
  onError: (error: unknown) => void,
): Promise<Response> {
  const { sizeBytes, tag } = download;
  const etag = `"${tag}"`;
  const headers = { ...download.headers, ETag: etag, "Accept-Ranges": "bytes" };
  const without = async (status: number, more: Record<string, string>): Promise<Response> => {
    await download[Symbol.asyncDispose]();
    return new Response(null, { status, headers: { ...headers, ...more } });
  };
  if (isListed(request.headers.get("If-None-Match"), etag)) return without(304, {});
  if (request.method === "HEAD") return without(200, { "Content-Length": `${sizeBytes}` });
  const ifRange = request.headers.get("If-Range");
  const wanted = ifRange === null || ifRange === etag ? request.headers.get("Range") : null;
  const range = parseRange(wanted, sizeBytes);
  if (range === "unsatisfiable") return without(416, { "Content-Range": `bytes */${sizeBytes}` });
  const { start, end } = range ?? { start: 0, end: sizeBytes };
  if (range !== undefined) Object.assign(headers, { "Content-Range": `bytes ${start}-${end - 1}/${sizeBytes}` });
  const body = bodyOf(download, { start, end, gone: request.signal, onError });
  return new Response(body, {
    status: range === undefined ? 200 : 206,
    headers: { ...headers, "Content-Length": `${end - start}` },
  });
}

function isListed(header: string | null, etag: string): boolean {
  if (header === null) return false;
  const tags = new Set(header.split(",").map((text) => text.trim().replace(/^W\//, "")));
  return tags.has(etag) || tags.has("*");
}

interface BodyOptions {
  readonly start: number;
  readonly end: number;
  /** Aborts when the client goes, even if nobody has begun to read the body then. */
  readonly gone: AbortSignal;
  readonly onError: (error: unknown) => void;
}

function bodyOf(download: Download, { start, end, gone, onError }: BodyOptions): ReadableStream<Uint8Array> {
  const stopped = new AbortController();
  const chunks = download.read(start, end - start, { signal: stopped.signal })[Symbol.asyncIterator]();
  let finishing: Promise<void> | undefined;
  const finish = (): Promise<void> => (finishing ??= finishOnce());
  const leave = (): void => void finish().catch(onError);

  async function finishOnce(): Promise<void> {
    gone.removeEventListener("abort", leave);
    stopped.abort(new Error("cannot go on sending: the client is gone"));
    try {
      // what is being read ends with the signal, if not at once
      await chunks.return?.().catch(() => {});
    } finally {
      await download[Symbol.asyncDispose]();
    }
  }

  gone.addEventListener("abort", leave, { once: true });
  if (gone.aborted) leave();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done !== true) return controller.enqueue(value);
          await finish();
          controller.close();
        } catch (error) {
          const isLeft = stopped.signal.aborted;
          await finish().catch(onError);
          if (!isLeft) onError(error);
          controller.error(error);
        }
      },
      cancel: finish,
    },
    { highWaterMark: 0 },
  );
}
