import { type Deadline, orAborted, startDeadline } from "./deadline.js";
import { OciClientError } from "./errors.js";
import type { HostLimits } from "./host-limits.js";
import { toNetworkError } from "./network-error.js";
import { type OnNotice, readNotices } from "./notice.js";
import { parseRetryAfter } from "./retry-after.js";
import type { Transport, TransportRequest, TransportResponse } from "./transport.js";

/** How long each phase of an exchange may take, in milliseconds. Nothing waits for ever. */
export interface Timeouts {
  /** Until a connection stands. Only the built-in transport knows this phase. */
  readonly connectMs: number;
  /** From the request's last byte to the headers of the answer. */
  readonly headersMs: number;
  /** Spent waiting for any 64 KiB of a body: a stalled peer and one that trickles both end here. */
  readonly bodyMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 10_000, headersMs: 30_000, bodyMs: 30_000 };

/** Where requests go, and how patiently. */
export interface Wire {
  readonly transport: Transport;
  readonly timeouts: Timeouts;
  readonly limits: HostLimits;
  readonly onNotice: OnNotice;
}

export interface ExchangeRequest extends Omit<TransportRequest, "signal"> {
  /** What is being done, completing "cannot …" in messages. */
  readonly act: string;
  readonly signal?: AbortSignal | undefined;
}

const LEAST_BYTES = 64 * 1024;

/**
 * One request and its answer, bounded in time once its host has let it go. The body of the answer must be iterated or discarded.
 * @throws {OciClientError} `network`, `timeout`, `protocol`, from the call and from the body alike; the signal's reason.
 */
export async function exchange(wire: Wire, request: ExchangeRequest): Promise<TransportResponse> {
  const { signal, act, body, ...rest } = request;
  signal?.throwIfAborted();
  await wire.limits.ready(request.url.host, { signal });
  // One signal stops many exchanges at once: Node would take more than ten listeners for a leak and warn.
  if (signal !== undefined) globalThis.process?.getBuiltinModule?.("node:events").setMaxListeners(0, signal);
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal?.reason);
  const release = (): void => signal?.removeEventListener("abort", abort);
  signal?.addEventListener("abort", abort, { once: true });

  const { origin } = request.url;
  const expire = (state: string): void =>
    controller.abort(new OciClientError("timeout", `cannot ${act}: ${origin} ${state}`));
  const toError = (error: unknown): unknown => {
    if (controller.signal.aborted) return controller.signal.reason;
    return toNetworkError(error, act, origin);
  };

  const { headersMs, bodyMs } = wire.timeouts;
  const deadline = startDeadline(headersMs, () => expire(`sent no answer within ${headersMs} ms`));
  try {
    const sent = body === undefined || body instanceof Uint8Array ? body : watched(body, deadline);
    const answer = wire.transport.request({ ...rest, body: sent, signal: controller.signal });
    const response = await orAborted(answer, controller.signal);
    heed(wire, request.url.host, response);
    const bounded = boundedBody(response.body, { limitMs: bodyMs, expire, signal: controller.signal });
    return { ...response, body: guarded(bounded, toError, release) };
  } catch (error) {
    release();
    throw toError(error);
  } finally {
    deadline.end();
  }
}

/** Takes in what an answer says about its host. */
function heed({ limits, onNotice }: Wire, host: string, { status, headers }: TransportResponse): void {
  for (const notice of readNotices(host, headers)) onNotice(notice);
  const waitMs = status === 429 || status === 503 ? parseRetryAfter(headers) : undefined;
  if (waitMs === undefined || waitMs === 0) return;
  limits.delay(host, waitMs);
  onNotice({ kind: "throttled", host, waitMs });
}

/** An upload lasts as long as it lasts: only a peer that takes nothing runs out of time, not a source that gives nothing. */
async function* watched(body: AsyncIterable<Uint8Array>, deadline: Deadline): AsyncGenerator<Uint8Array> {
  deadline.stop();
  for await (const chunk of body) {
    deadline.wind();
    yield chunk;
    deadline.stop();
  }
  deadline.wind();
}

/** Counts only the time spent waiting for the peer: a reader may take all the time it wants between chunks. */
async function* boundedBody(
  body: AsyncIterable<Uint8Array>,
  { limitMs, expire, signal }: { limitMs: number; expire: (state: string) => void; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  let waitedMs = 0;
  let receivedBytes = 0;
  let isDone = false;
  try {
    for (;;) {
      const started = performance.now();
      const timer = setTimeout(() => expire(`stalled for ${limitMs} ms`), Math.max(limitMs - waitedMs, 0));
      const next = await orAborted(iterator.next(), signal).finally(() => clearTimeout(timer));
      isDone = next.done === true;
      if (next.done === true) return;
      waitedMs += performance.now() - started;
      receivedBytes += next.value.byteLength;
      if (receivedBytes >= LEAST_BYTES) {
        waitedMs = 0;
        receivedBytes = 0;
      }
      yield next.value;
    }
  } finally {
    if (!isDone) await close(iterator, signal);
  }
}

/** A body that does not heed its signal would keep its closing waiting, too. */
async function close(iterator: AsyncIterator<Uint8Array>, signal: AbortSignal): Promise<void> {
  const closing = Promise.resolve(iterator.return?.());
  if (signal.aborted) closing.catch(() => {});
  else await closing;
}

async function* guarded(
  body: AsyncIterable<Uint8Array>,
  toError: (error: unknown) => unknown,
  release: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw toError(error);
  } finally {
    release();
  }
}
