import {
  createServer as createHttpServer,
  type IncomingMessage,
  request as httpRequest,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer, request as httpsRequest } from "node:https";
import type { AddressInfo, Socket } from "node:net";

import { pause, sendBody } from "./fault-body.js";
import { createFaultPlan, type Fault, type FaultAction } from "./fault.js";
import { createTokenGate, type TokenGate } from "./token-gate.js";

export interface FaultProxyOptions {
  /** The root of a registry: `http://127.0.0.1:5000`. */
  readonly upstream: string;
  /** Default: none, every exchange passes as it is. */
  readonly faults?: readonly Fault[];
  /** Asks for bearer tokens, that the proxy gives itself, each good for so many requests; 0: none is ever good. Default: asks for none. */
  readonly tokenUses?: number;
  /** Speaks HTTPS, with these in PEM; with `clientCa` only to clients whose certificate it has signed. Default: plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
}

export interface ProxiedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly range: string | undefined;
  readonly headers: IncomingMessage["headers"];
  /** 0 until it is answered, and for one that never is. */
  readonly status: number;
  /** Of the body, as far as it was sent. */
  readonly sentBytes: number;
}

/**
 * An HTTP server on loopback in front of a registry, that does wrong by rule and keeps count. It can be closed at any time;
 * what is under way then breaks.
 */
export interface FaultProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`: the domain of references. */
  readonly host: string;
  readonly url: string;
  /** In the order in which they came. */
  readonly requests: readonly ProxiedRequest[];
  /** Connections that clients have made. */
  readonly connections: number;
  /** Tokens that were given. */
  readonly tokens: number;
  /** Other rules from now on, that count from the start. */
  setFaults(faults: readonly Fault[]): void;
  /** Bytes of the bodies sent for paths that match; of all without a pattern. */
  sentBytes(path?: RegExp): number;
  close(): Promise<void>;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Starts a {@link FaultProxy} on a port of its own. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { upstream, tls, tokenUses } = options;
  const root = new URL(upstream);
  const requests: Mutable<ProxiedRequest>[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let planned = createFaultPlan(options.faults ?? []);
  const gate = tokenUses === undefined ? undefined : createTokenGate(tokenUses);

  const listener: RequestListener = (incoming, response) => {
    const { method = "GET", url: path = "/", headers } = incoming;
    const entry = { method, path, range: headers.range, headers, status: 0, sentBytes: 0 };
    requests.push(entry);
    const answered = answer({ root, incoming, response, entry, gate, action: planned(entry) });
    // Whatever breaks between the two sides breaks the client's exchange, and no more.
    answered.catch(() => response.destroy());
  };
  const server = createServer(tls, listener);
  server.on("connection", (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });

  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  return {
    host,
    url: `${tls === undefined ? "http" : "https"}://${host}`,
    requests,
    get connections() {
      return connections;
    },
    get tokens() {
      return gate?.given() ?? 0;
    },
    setFaults(faults) {
      planned = createFaultPlan(faults);
    },
    sentBytes: (path) =>
      requests
        .filter((request) => path === undefined || request.path.search(path) >= 0)
        .reduce((total, { sentBytes }) => total + sentBytes, 0),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function createServer(tls: FaultProxyOptions["tls"], listener: RequestListener): Server {
  if (tls === undefined) return createHttpServer(listener);
  const { clientCa, ...identity } = tls;
  const mutual = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createHttpsServer({ ...identity, ...mutual }, listener);
}

interface Exchange {
  readonly root: URL;
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly entry: Mutable<ProxiedRequest>;
  readonly gate: TokenGate | undefined;
  readonly action: FaultAction | undefined;
}

async function answer(exchange: Exchange): Promise<void> {
  const { incoming, response, entry, gate, action } = exchange;
  const count = (bytes: number): void => void (entry.sentBytes += bytes);
  const own = gate?.answer(incoming) ?? (action?.kind === "answer" ? action : undefined);
  if (own !== undefined) {
    incoming.resume();
    entry.status = own.status;
    response.writeHead(own.status, own.headers);
    return sendBody(response, once(own.body), undefined, count);
  }
  if (action?.kind === "delay") await pause(action.ms);
  const isHeadless = (action?.kind === "reset" || action?.kind === "stall") && action.afterBytes === undefined;
  if (isHeadless) {
    if (action.kind === "reset") response.destroy();
    return;
  }
  const upstream = await forward(exchange);
  response.on("close", () => upstream.destroy());
  entry.status = upstream.statusCode ?? 502;
  response.writeHead(entry.status, headersOf(upstream, action));
  await sendBody(response, upstream, action, count);
}

/** Asks upstream. The client's own `host` is passed on: addresses in the answers then lead through the proxy. */
function forward({ root, incoming, response, gate, action }: Exchange): Promise<IncomingMessage> {
  const path = action?.kind === "forward" ? action.path : incoming.url;
  const { range, authorization, ...headers } = incoming.headers;
  const passed = { ...headers, ...(range !== undefined && action?.kind !== "ignore_range" && { range }) };
  const send = root.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const outgoing = send(new URL(path ?? "/", root), {
      method: incoming.method ?? "GET",
      // Tokens of the proxy's own mean nothing upstream; where it gives none, the client's are the registry's.
      headers: { ...passed, ...(authorization !== undefined && gate === undefined && { authorization }) },
    });
    outgoing.on("response", resolve).on("error", reject);
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
}

function headersOf(upstream: IncomingMessage, action: FaultAction | undefined): Record<string, string | string[]> {
  const headers: Record<string, string | string[] | undefined> = { ...upstream.headers };
  delete headers["connection"];
  delete headers["keep-alive"];
  const length = Number(upstream.headers["content-length"]);
  if (action?.kind === "truncate") headers["content-length"] = String(Math.min(action.afterBytes, length));
  if (action?.kind === "extend") headers["content-length"] = String(length + action.bytes);
  if (action?.kind === "headers") Object.assign(headers, action.set);
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined),
  );
}

async function* once(body: string | Uint8Array | undefined): AsyncGenerator<Uint8Array> {
  if (body !== undefined) yield typeof body === "string" ? new TextEncoder().encode(body) : body;
}
