import type { Extent } from "./allocation.js";
import { NbdError } from "./errors.js";
import type { Agreement } from "./negotiation.js";
import { COMMAND, COMMAND_FLAG, STATE } from "./protocol.js";
import { blockStatusChunk, dataChunk, emptyChunk, errorChunk, holeChunk, simpleReply } from "./replies.js";
import type { Refusal, Request } from "./request.js";
import { readInto, readRange } from "./source-reading.js";

/** A structured reply is made and sent so much at a time. */
const PIECE_BYTES = 1 << 20;
/** A client asks again for what follows. */
const STATUS_EXTENTS_MAX = 4096;

export interface ReplyOptions {
  /** Ends all work when the client is gone. */
  readonly signal: AbortSignal;
  readonly readTimeoutMs: number;
}

/** How much memory the replies to a request take at once. */
export function replyBytes({ type, flags, length }: Request, { structured }: Agreement): number {
  if (type !== COMMAND.read) return 0;
  return structured && (flags & COMMAND_FLAG.doNotFragment) === 0 ? Math.min(length, PIECE_BYTES) : length;
}

/** The reply to a request that is not answered as it wants. */
export function refusalReply({ cookie }: Request, { error, text }: Refusal, { structured }: Agreement): Buffer {
  return structured ? errorChunk(cookie, error, text) : simpleReply(cookie, { error }).message;
}

/** The messages that answer a request, made as they are asked for. Throws what the source throws. */
export async function* repliesTo(
  request: Request,
  agreement: Agreement,
  options: ReplyOptions,
): AsyncGenerator<Buffer> {
  const { type, flags } = request;
  const { structured } = agreement;
  if (type === COMMAND.blockStatus) yield blockStatus(request, agreement);
  else if (type === COMMAND.cache) {
    await fetchData(request, agreement, options);
    yield simpleReply(request.cookie, {}).message;
  } else if (!structured) yield simpleRead(request, agreement, options);
  else if ((flags & COMMAND_FLAG.doNotFragment) === 0) yield* readInPieces(request, agreement, options);
  else yield wholeRead(request, agreement, options);
}

async function simpleRead(request: Request, { disk }: Agreement, options: ReplyOptions): Promise<Buffer> {
  const { message, data } = simpleReply(request.cookie, { length: request.length });
  await fill(data, request, disk, options);
  return message;
}

/** One chunk for all of it, whatever it is. */
async function wholeRead(request: Request, { disk }: Agreement, options: ReplyOptions): Promise<Buffer> {
  const { cookie, offset, length } = request;
  const head = { cookie, last: true };
  if (length === 0) return emptyChunk(cookie);
  const [first] = disk.allocation.extents(offset, length);
  if (first?.hole === true && first.length === length) return holeChunk(head, offset, length);
  const { message, data } = dataChunk(head, offset, length);
  await fill(data, request, disk, options);
  return message;
}

async function* readInPieces(
  { cookie, offset, length }: Request,
  { disk }: Agreement,
  { signal, readTimeoutMs }: ReplyOptions,
): AsyncGenerator<Buffer> {
  if (length === 0) yield emptyChunk(cookie);
  for (const piece of pieces(disk.allocation.extents(offset, length))) {
    const head = { cookie, last: piece.offset + piece.length === offset + length };
    if (piece.hole) yield holeChunk(head, piece.offset, piece.length);
    else {
      const { message, data } = dataChunk(head, piece.offset, piece.length);
      await withinTime(signal, readTimeoutMs, (signal) => readInto(disk.source, piece.offset, data, { signal }));
      yield message;
    }
  }
}

function* pieces(extents: Iterable<Extent>): Generator<Extent> {
  for (const { offset, length, hole } of extents) {
    const step = hole ? length : PIECE_BYTES;
    for (let at = 0; at < length; at += step) yield { offset: offset + at, length: Math.min(step, length - at), hole };
  }
}

async function fill(
  target: Buffer,
  { offset, length }: Request,
  { source, allocation }: Agreement["disk"],
  { signal, readTimeoutMs }: ReplyOptions,
): Promise<void> {
  await withinTime(signal, readTimeoutMs, async (signal) => {
    for (const extent of allocation.extents(offset, length)) {
      const start = extent.offset - offset;
      const part = target.subarray(start, start + extent.length);
      if (extent.hole) part.fill(0);
      else await readInto(source, extent.offset, part, { signal });
    }
  });
}

/** Reads, so that what fetches and keeps the data has it. */
async function fetchData(
  { offset, length }: Request,
  { disk: { source, allocation } }: Agreement,
  { signal, readTimeoutMs }: ReplyOptions,
): Promise<void> {
  await withinTime(signal, readTimeoutMs, async (signal) => {
    for (const extent of allocation.extents(offset, length))
      if (!extent.hole) await readRange(source, extent, { signal }, () => {});
  });
}

function blockStatus({ cookie, offset, length, flags }: Request, { disk, contextId }: Agreement): Buffer {
  const most = (flags & COMMAND_FLAG.requestOne) === 0 ? STATUS_EXTENTS_MAX : 1;
  const extents: { length: number; flags: number }[] = [];
  for (const extent of disk.allocation.extents(offset, length)) {
    extents.push({ length: extent.length, flags: extent.hole ? STATE.hole | STATE.zero : 0 });
    if (extents.length === most) break;
  }
  return blockStatusChunk(cookie, contextId!, extents);
}

async function withinTime(
  signal: AbortSignal,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const abort = new AbortController();
  const forward = (): void => abort.abort(signal.reason);
  const late = (): void =>
    abort.abort(new NbdError("timeout", `cannot read a disk: it did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  signal.addEventListener("abort", forward, { once: true });
  try {
    await work(abort.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", forward);
  }
}
