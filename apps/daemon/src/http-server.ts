import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, isIPv6 } from "node:net";
import { dirname } from "node:path";

import { getRequestListener } from "@hono/node-server";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";

import { createByteBodySender } from "./byte-body.js";
import { createConnectionLimit } from "./connection-limit.js";
import type { ConnectionLimit } from "./connection-limit.js";
import { DaemonError } from "./errors.js";
import type { ListenAddress } from "./listen-address.js";

/** A request's line and headers, in bytes. */
const HEADERS_MAX_BYTES = 16 << 10;
/** A client that does not get out its headers, or the body of a request that is no upload, is not one. */
const PATIENCE_MS = 15_000;
/** Ten gigabytes at three megabytes a second: a body may take its time. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** Silence on a connection, in either direction; long enough to hash a large upload anew before its answer. */
const IDLE_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_TIMEOUT_MS = 30_000;
/** Of one process, whatever it listens on. */
export const MAX_CONNECTIONS = 4096;

const DRAIN_POLL_MS = 50;

export interface HttpServerOptions {
  readonly fetch: (request: Request, bound: Bound) => Promise<Response>;
  readonly address: ListenAddress;
  /** On TCP, HTTPS is spoken with these, PEM each. */
  readonly tls?: TlsPair | undefined;
  /** Shared by servers that count together. */
  readonly connections?: ConnectionLimit;
  /** Is told of bodies that fail while they are sent; their clients see the connection end too early. */
  readonly onError?: (error: unknown) => void;
  /** How long headers may take to come, and the body of a request that is no upload. */
  readonly patienceMs?: number;
}

export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** What a server listens on. */
export interface Bound {
  readonly kind: "unix" | "tcp";
  /** Of TCP. */
  readonly host: string;
}

export interface HttpServer {
  /** What was bound: `http://127.0.0.1:5080`, `unix:/path`, or `fd:3` for a unix socket that somebody else has bound. */
  readonly url: string;
  readonly bound: Bound;
  /**
   * Takes no more connections and waits for the requests that have begun; after `graceMs` their connections are cut.
   * Resolves when nothing is left; a second call waits for the first.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Serves HTTP/1.1 with every limit set. A unix socket is made with mode 0660, and one that a dead process left is replaced.
 * Throws `listen_failed` and `tls_invalid`.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { fetch, address, tls, connections = createConnectionLimit(MAX_CONNECTIONS) } = options;
  const { onError = () => {}, patienceMs = PATIENCE_MS } = options;
  let bound: Bound = { kind: address.kind === "tcp" ? "tcp" : "unix", host: "" };
  const sendByteBody = createByteBodySender(onError);
  const respond = async (request: Request, { outgoing }: HttpBindings): Promise<Response> => {
    const response = await fetch(request, bound);
    return (await sendByteBody(response, outgoing)) ? RESPONSE_ALREADY_SENT : response;
  };
  // HTTP/2 is not spoken
  const answer = getRequestListener((request, env) => respond(request, env as HttpBindings), {
    overrideGlobalObjects: false,
  });
  const secret = address.kind === "unix" ? undefined : tls;
  const server = createAnyServer(patienceMs, secret);
  connections.watch(server);
  server.setTimeout(IDLE_TIMEOUT_MS);
  server.on("request", (incoming, outgoing) => {
    // RFC 9112, section 3.2: whoever is in front of us may have gone by the other one
    if ((incoming.headersDistinct["host"]?.length ?? 0) > 1) {
      outgoing.writeHead(400, { Connection: "close" }).end();
      return;
    }
    limitBody(incoming, patienceMs);
    void answer(incoming, outgoing);
  });
  try {
    if (address.kind === "unix") await prepareSocket(address.path);
    await listen(server, address);
  } catch (error) {
    if (error instanceof DaemonError) throw error;
    const state = error instanceof Error ? error.message : String(error);
    throw new DaemonError("listen_failed", `cannot listen on ${show(address)}: ${state}`, { cause: error });
  }
  // null for a unix socket that was bound elsewhere
  const found = server.address();
  const scheme = secret === undefined ? "http" : "https";
  const place = found !== null && typeof found === "object" ? found : undefined;
  if (place !== undefined) bound = { kind: "tcp", host: place.address };
  const url = place === undefined ? show(address) : showTcp(scheme, place.address, place.port);
  let closed: Promise<void> | undefined;
  return { url, bound, close: (graceMs) => (closed ??= close(server, graceMs)) };
}

function createAnyServer(patienceMs: number, tls: TlsPair | undefined): Server {
  const limits = {
    maxHeaderSize: HEADERS_MAX_BYTES,
    headersTimeout: patienceMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: patienceMs / 3,
  };
  if (tls === undefined) return createServer(limits);
  try {
    return createTlsServer({ ...limits, ...tls, minVersion: "TLSv1.2", handshakeTimeout: patienceMs });
  } catch (error) {
    // what OpenSSL says shows nothing of the key
    const state = error instanceof Error ? error.message : String(error);
    throw new DaemonError("tls_invalid", `cannot use the certificate and its key: ${state}`, { cause: error });
  }
}

/** Uploads have a pace of their own, and all the time that they need. */
function limitBody(incoming: IncomingMessage, patienceMs: number): void {
  if (incoming.url?.startsWith("/v2/") === true) return;
  const late = setTimeout(() => {
    if (!incoming.complete) incoming.destroy();
  }, patienceMs);
  incoming.once("end", () => clearTimeout(late));
  incoming.once("close", () => clearTimeout(late));
}

async function listen(server: Server, address: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
    if (address.kind === "unix") server.listen({ path: address.path });
    else if (address.kind === "inherited") server.listen({ fd: address.fd });
    else server.listen({ host: address.host, port: address.port });
  });
  if (address.kind === "unix") await chmod(address.path, 0o660);
}

/** A socket that nobody answers on is removed; anything else at the path is not ours to touch. */
async function prepareSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new DaemonError("listen_failed", `cannot listen on unix:${path}: the path is taken`);
  if (await answers(path))
    throw new DaemonError("listen_failed", `cannot listen on unix:${path}: another process does`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}

async function close(server: Server, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  // A connection that was busy when the server closed turns idle with its answer and would stay for its next request.
  const poll = setInterval(() => server.closeIdleConnections(), DRAIN_POLL_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      server.close((error) => (error === undefined ? resolve() : reject(error)));
    });
  } finally {
    clearTimeout(cut);
    clearInterval(poll);
  }
}

function show(address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "inherited") return `fd:${address.fd}`;
  return showTcp("http", address.host, address.port);
}

function showTcp(scheme: string, host: string, port: number): string {
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
