import { Readable } from "node:stream";

import type { Agent, request } from "undici";

import type { Transport, TransportRequest, TransportResponse } from "./transport.js";

export interface HttpTransportOptions {
  /** Until a connection stands, TLS included. */
  connectMs: number;
}

interface Connected {
  readonly agent: Agent;
  readonly send: typeof request;
}

const READ_AHEAD_BYTES = 256 * 1024;

/** What `Headers` can hold: one odd field that nobody asks for must not spoil the answer. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** HTTP/1.1 over kept-alive connections. Waiting for headers and bodies is bounded by the caller's signal. */
export function createHttpTransport({ connectMs }: HttpTransportOptions): Transport {
  let connecting: Promise<Connected> | undefined;

  // Loading undici takes longer than most commands that need no network.
  async function connect(): Promise<Connected> {
    const { Agent: UndiciAgent, request: send } = await import("undici");
    return { agent: new UndiciAgent({ connectTimeout: connectMs, headersTimeout: 0, bodyTimeout: 0 }), send };
  }

  return {
    async request({ url, method, headers, body, signal }: TransportRequest): Promise<TransportResponse> {
      connecting ??= connect();
      const { agent, send } = await connecting;
      const response = await send(url, {
        method,
        headers,
        body: toRequestBody(body),
        signal,
        dispatcher: agent,
        highWaterMark: READ_AHEAD_BYTES,
      });
      // Its iterator reports every error; without a listener an answer that nobody reads to its end would end the process.
      response.body.on("error", () => {});
      return { status: response.statusCode, headers: toHeaders(response.headers), body: response.body };
    },
    async close(): Promise<void> {
      const connected = await connecting;
      await connected?.agent.destroy();
    },
  };
}

function toRequestBody(body: TransportRequest["body"]): Uint8Array | Readable | null {
  if (body === undefined) return null;
  return body instanceof Uint8Array
    ? body
    : Readable.from(body, { objectMode: false, highWaterMark: READ_AHEAD_BYTES });
}

function toHeaders(fields: Record<string, string | string[] | undefined>): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(fields)) {
    for (const value of typeof values === "string" ? [values] : (values ?? [])) {
      if (FIELD_VALUE.test(value)) headers.append(name, value);
    }
  }
  return headers;
}
