import type { ByteReader } from "./byte-reader.js";
import { clientInvalid } from "./errors.js";
import type { InFlight } from "./in-flight.js";
import type { MessageWriter } from "./message-writer.js";
import type { Agreement } from "./negotiation.js";
import { COMMAND, ERROR, PAYLOAD_BYTES_MAX, REQUEST_BYTES } from "./protocol.js";
import { refusalReply, repliesTo, replyBytes } from "./replying.js";
import type { ReplyOptions } from "./replying.js";
import { parseRequest, refusalOf } from "./request.js";
import type { Request } from "./request.js";

/** What has been done for clients. */
export interface RequestCounts {
  requests: number;
  failedRequests: number;
  bytesSent: number;
}

export interface TransmissionOptions extends ReplyOptions {
  readonly reader: ByteReader;
  readonly writer: MessageWriter;
  readonly inFlight: InFlight;
  readonly agreement: Agreement;
  readonly counts: RequestCounts;
  /** Is told of a read that failed. */
  readonly onReadError: (error: unknown) => void;
  /** Is told of replies that cannot be sent. */
  readonly onLost: (error: unknown) => void;
}

/**
 * Takes requests and answers each when it is done, until there is nothing more to read. True if the client said so.
 * Requests may be in flight still.
 *
 * @throws {NbdError} `client_invalid`
 */
export async function serveRequests(options: TransmissionOptions): Promise<boolean> {
  const { reader, inFlight, agreement, counts, onLost } = options;
  for (;;) {
    const head = await reader.read(REQUEST_BYTES);
    if (head === undefined) return false;
    const request = parseRequest(head);
    if (request.type === COMMAND.disconnect) return true;
    if (request.type === COMMAND.write && !(await skipPayload(reader, request))) return false;
    counts.requests++;
    const bytes = replyBytes(request, agreement);
    await inFlight.admit(bytes);
    void answer(request, options)
      .catch(onLost)
      .finally(() => inFlight.release(bytes));
  }
}

async function skipPayload(reader: ByteReader, { length }: Request): Promise<boolean> {
  if (length > PAYLOAD_BYTES_MAX) throw clientInvalid(`it would write ${length} bytes at once`);
  return reader.skip(length);
}

async function answer(request: Request, options: TransmissionOptions): Promise<void> {
  const { writer, counts } = options;
  for await (const message of replies(request, options)) {
    await writer.send(message);
    counts.bytesSent += message.length;
  }
}

async function* replies(request: Request, options: TransmissionOptions): AsyncGenerator<Buffer> {
  const { agreement, counts, signal, onReadError } = options;
  const { structured, contextId } = agreement;
  const { sizeBytes } = agreement.disk.source;
  const refusal = refusalOf(request, { sizeBytes, structured, hasContext: contextId !== undefined });
  if (refusal !== undefined) {
    counts.failedRequests++;
    yield refusalReply(request, refusal, agreement);
    return;
  }
  try {
    yield* repliesTo(request, agreement, options);
  } catch (error) {
    signal.throwIfAborted();
    counts.failedRequests++;
    onReadError(error);
    const text = error instanceof Error ? error.message : String(error);
    yield refusalReply(request, { error: ERROR.EIO, text }, agreement);
  }
}
