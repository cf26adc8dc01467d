import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";

import { getRequestListener } from "@hono/node-server";

import { DaemonError } from "./errors.js";
import type { ListenAddress } from "./listen-address.js";

/** A request's line and headers, in bytes. */
const HEADERS_MAX_BYTES = 16 << 10;
/** A client that does not get its headers out is not one. */
const HEADERS_TIMEOUT_MS = 15_000;
/** Ten gigabytes at three megabytes a second: a body may take its time. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** Silence on a connection, in either direction; long enough to hash a large upload anew before its answer. */
const IDLE_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 4096;

const DRAIN_POLL_MS = 50;

export interface HttpServerOptions {
  readonly fetch: (request: Request) => Promise<Response>;
  readonly address: ListenAddress;
}

export interface HttpServer {
  /** What was bound: `http://127.0.0.1:5080` or `unix:/path`. */
  readonly url: string;
  /**
   * Takes no more connections and waits for the requests that have begun; after `graceMs` their connections are cut.
   * Resolves when nothing is left; a second call waits for the first.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Serves HTTP/1.1 with every limit set. A unix socket is made with mode 0660, and one that a dead process left is replaced.
 * Throws `listen_failed`.
 */
export async function startHttpServer({ fetch, address }: HttpServerOptions): Promise<HttpServer> {
  const answer = getRequestListener(fetch, { overrideGlobalObjects: false });
  const limits = {
    maxHeaderSize: HEADERS_MAX_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  };
  const server = createServer(limits, (incoming, outgoing) => void answer(incoming, outgoing));
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_TIMEOUT_MS);
  try {
    if (address.kind === "unix") await prepareSocket(address.path);
    await listen(server, address);
  } catch (error) {
    if (error instanceof DaemonError) throw error;
    const state = error instanceof Error ? error.message : String(error);
    throw new DaemonError("listen_failed", `cannot listen on ${show(address)}: ${state}`, { cause: error });
  }
  let closed: Promise<void> | undefined;
  return { url: urlOf(server, address), close: (graceMs) => (closed ??= close(server, graceMs)) };
}

async function listen(server: Server, address: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
    if (address.kind === "unix") server.listen({ path: address.path });
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

function urlOf(server: Server, address: ListenAddress): string {
  if (address.kind === "unix") return show(address);
  const { port } = server.address() as AddressInfo;
  return show({ ...address, port });
}

function show(address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}
