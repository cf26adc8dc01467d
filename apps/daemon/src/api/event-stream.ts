import type { LinkedSignal } from "./linked-signal.js";

/** One event of a stream (HTML, "Server-sent events"). */
export interface StreamEvent {
  readonly id: string;
  readonly event: string;
  readonly data: unknown;
}

/** A proxy that is told nothing for long hangs up. */
const HEARTBEAT_MS = 15_000;
const RETRY_MS = 2000;

const HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  // nginx gathers answers otherwise
  "X-Accel-Buffering": "no",
};

export interface EventStreamOptions {
  /** Ends the stream, and aborts with its end, for one of the three: it has ended, it cannot go on, its client has gone. */
  readonly until: LinkedSignal;
  readonly onError: (error: unknown) => void;
}

/** Answers with events as its client takes them: nothing is asked for that it is not ready for. */
export function streamEvents(
  events: AsyncGenerator<StreamEvent | undefined>,
  { until, onError }: EventStreamOptions,
): Response {
  const frames = framesOf(events);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await frames.next();
          if (next.done !== true) {
            controller.enqueue(encoder.encode(next.value));
            return;
          }
          controller.close();
        } catch (error) {
          if (!until.signal.aborted) onError(error);
          controller.error(error);
        }
        until.abort();
      },
      cancel(reason) {
        until.abort(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: HEADERS });
}

async function* framesOf(events: AsyncIterable<StreamEvent | undefined>): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`;
  for await (const each of events) yield each === undefined ? ":\n\n" : frameOf(each);
}

function frameOf({ id, event, data }: StreamEvent): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The same items; and undefined whenever none has come for so long. */
export async function* withHeartbeats<Item>(
  items: AsyncIterable<Item>,
  everyMs: number = HEARTBEAT_MS,
): AsyncGenerator<Item | undefined> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  for (;;) {
    const result = await withinTime(next, everyMs);
    if (result === undefined) yield undefined;
    else if (result.done === true) return;
    else {
      yield result.value;
      next = iterator.next();
    }
  }
}

async function withinTime<Value>(promise: Promise<Value>, timeMs: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
