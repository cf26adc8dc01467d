import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import {
  checkReport,
  files,
  garbageReport,
  images,
  layerEvents,
  layers,
  queue,
  SHOWN,
  usage,
} from "./page-fixed-state.js";
import type { Json } from "./page-fixed-state.js";

export interface FixedDaemon extends AsyncDisposable {
  readonly url: string;
  /** Breaks all connections off; new ones are welcome. */
  hangUp(): void;
}

export interface FixedDaemonOptions {
  /** Where the page itself is had from. */
  readonly pageUrl: string;
  readonly port?: number;
  /** What is answered instead, by method and path; a number is a status. */
  readonly instead?: Readonly<Record<string, Json>>;
}

/** A daemon whose API always says the same; its page is the one that is shipped. */
export async function startFixedDaemon({ pageUrl, port = 0, instead = {} }: FixedDaemonOptions): Promise<FixedDaemon> {
  const shownPath = `/images/${encodeURIComponent(SHOWN.name)}`;
  const answers: Readonly<Record<string, (url: URL) => Json>> = {
    "GET /images": () => images,
    [`GET ${shownPath}`]: () => images.find(({ name }) => name === SHOWN.name) ?? null,
    [`GET ${shownPath}/layers`]: () => layers,
    [`GET ${shownPath}/files`]: ({ searchParams }) =>
      files({
        path: searchParams.get("path") ?? "",
        layer: searchParams.get("layer"),
        after: searchParams.get("after"),
        limit: Number(searchParams.get("limit")),
      }),
    "GET /images/docker.io%2Flibrary%2Fpostgres%3A17": () => images.find(({ id }) => id === 8) ?? null,
    "GET /queue": () => queue,
    "GET /usage": () => usage,
    "POST /gc": () => garbageReport,
    "POST /check": () => checkReport,
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://fixed");
    if (url.pathname === "/" || url.pathname.startsWith("/assets/"))
      return proxy(new URL(url.pathname, pageUrl), response);
    const key = `${request.method} ${url.pathname}`;
    const said = instead[key];
    if (typeof said === "number") {
      const problem = {
        type: "about:blank",
        title: "No",
        status: said,
        detail: "cannot do that: this is a test",
        code: "test",
      };
      return end(response, { status: said, type: "application/problem+json", body: problem });
    }
    if (said === "hang") return;
    if (key === "GET /events") return sendEvents(response);
    const body = said ?? answers[key]?.(url);
    end(
      response,
      body === undefined
        ? { status: 404, type: "application/json", body: null }
        : { status: 200, type: "application/json", body },
    );
  };
  const server = createServer((request, response) => void answer(request, response)).listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    hangUp: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function end(response: ServerResponse, { status, type, body }: { status: number; type: string; body: Json }): void {
  response.writeHead(status, { "Content-Type": type }).end(JSON.stringify(body));
}

function sendEvents(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (const event of layerEvents) response.write(`event: layer\nid: 1\ndata: ${JSON.stringify(event)}\n\n`);
}

/** With the daemon's own headers, its policy among them. */
async function proxy(url: URL, response: ServerResponse): Promise<void> {
  const answer = await fetch(url);
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.end(new Uint8Array(await answer.arrayBuffer()));
}
