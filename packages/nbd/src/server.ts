import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";

import { quote } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import { serveConnection } from "./connection.js";
import type { Connection } from "./connection.js";
import { NbdError } from "./errors.js";
import type { BlockSource } from "./block-source.js";
import { openExport, openExports } from "./exports.js";
import type { Export, NbdExports } from "./exports.js";
import { completeLimits } from "./limits.js";
import type { NbdLimits } from "./limits.js";
import { nbdUri, parseListen } from "./nbd-address.js";
import type { NbdAddress, NbdListen } from "./nbd-address.js";
import { bindUnixSocket } from "./unix-socket.js";
import type { BoundSocket } from "./unix-socket.js";

/** What requests in flight have when nothing else is said. */
const GRACE_MS = 5000;

export type ServeNbdOptions = NbdListen &
  CallOptions & {
    readonly limits?: Partial<NbdLimits> | undefined;
    /** Is told of each read that failed, for which a client got an error; must not throw. */
    readonly onReadError?: ((error: unknown) => void) | undefined;
    /** Is told why a client was cut off, or could not be taken; must not throw. */
    readonly onDrop?: ((error: unknown) => void) | undefined;
  };

export interface NbdStats {
  /** Clients that were served. */
  readonly clients: number;
  /** Clients that came when there were as many as may be at once. */
  readonly refusedClients: number;
  /** Of those served, cut off for what they did. */
  readonly droppedClients: number;
  readonly requests: number;
  /** Requests that were answered with an error. */
  readonly failedRequests: number;
  /** Replies with all that goes around the data; holes take a few bytes. */
  readonly bytesSent: number;
}

/** A server that has begun to listen. Disposing of it closes it. */
export interface NbdServer extends AsyncDisposable {
  readonly address: NbdAddress;
  /** What qemu and libnbd call a disk of it, by default the default one. */
  uri(name?: string): string;
  /** Clients that are there now. */
  readonly connections: number;
  /** Those of one disk; none where there is no such disk. */
  connectionsOf(name: string): number;
  /**
   * Serves one more disk to whoever asks for it from now on.
   * @throws {NbdError} `option_invalid`, also for a name that another disk has
   */
  add(name: string, source: BlockSource): void;
  /**
   * Serves a disk no longer: its clients are cut off, those of others are not. Resolves when nothing of it is left. False where there is none. A server may have no disk
   * left.
   */
  remove(name: string): Promise<boolean>;
  stats(): NbdStats;
  /**
   * Takes no more clients and requests, answers those in flight, and hangs up; after `graceMs` (5,000 by default) at once. The socket is removed.
   * Resolves when nothing is left; a second call waits for the first.
   */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Serves disks by the NBD protocol, read-only: fixed newstyle negotiation, structured replies, block status, several connections.
 *
 * A unix socket has the mode 0600, and one that nobody listens on is replaced. TCP is for loopback addresses alone. Aborting `signal` closes the
 * server without grace. It borrows the disks: they must last until it is closed, or they are removed.
 *
 * @throws {NbdError} `option_invalid`, `address_exposed`, `busy`, `listen_failed`
 */
export async function serveNbd(exports: NbdExports, options: ServeNbdOptions): Promise<NbdServer> {
  const { signal } = options;
  signal?.throwIfAborted();
  const disks = openExports(exports);
  const limits = completeLimits(options.limits);
  const wanted = parseListen(options);

  const counts = { clients: 0, refusedClients: 0, droppedClients: 0, requests: 0, failedRequests: 0, bytesSent: 0 };
  const open = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    counts.clients++;
    const connection = serveConnection(socket, {
      exports: disks,
      limits,
      counts,
      onReadError: options.onReadError ?? (() => {}),
      onDrop(error) {
        counts.droppedClients++;
        options.onDrop?.(error);
      },
    });
    open.add(connection);
    void connection.ended.then(() => open.delete(connection));
  });
  server.maxConnections = limits.maxConnections;
  const bound = await bind(server, wanted);
  server.on("drop", () => counts.refusedClients++);
  server.on("error", (error) => {
    const reason = new NbdError("listen_failed", `cannot take a client: ${error.message}`, { cause: error });
    options.onDrop?.(reason);
  });
  const address = wanted.kind === "unix" ? wanted : { ...wanted, port: (server.address() as AddressInfo).port };

  function connectionsTo(disk: Export | undefined): Connection[] {
    return disk === undefined ? [] : [...open].filter((connection) => connection.disk === disk);
  }

  function cutAll(): void {
    for (const connection of open) connection.cut();
  }

  async function shutDown(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    for (const connection of open) connection.stop();
    const timer = setTimeout(cutAll, graceMs);
    try {
      await bound?.remove();
    } finally {
      await Promise.all([closed, ...Array.from(open, ({ ended }) => ended)]);
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  let closing: Promise<void> | undefined;
  function close({ graceMs = GRACE_MS }: { graceMs?: number } = {}): Promise<void> {
    return (closing ??= shutDown(graceMs));
  }
  function abort(): void {
    cutAll();
    // whoever closes it is told what went wrong
    close({ graceMs: 0 }).catch(() => {});
  }
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted === true) {
    await close({ graceMs: 0 });
    signal.throwIfAborted();
  }

  return {
    address,
    uri: (name = "") => nbdUri(address, name),
    get connections() {
      return open.size;
    },
    connectionsOf: (name) => connectionsTo(disks.get(name)).length,
    add(name, source) {
      const disk = openExport(name, source);
      if (disks.has(name))
        throw new NbdError("option_invalid", `cannot serve a disk as ${quote(name)}: another has the name`);
      disks.set(name, disk);
    },
    async remove(name) {
      const disk = disks.get(name);
      if (disk === undefined) return false;
      disks.delete(name);
      const clients = connectionsTo(disk);
      for (const client of clients) client.cut();
      await Promise.all(clients.map(({ ended }) => ended));
      return true;
    },
    stats: () => ({ ...counts }),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

/** @throws {NbdError} `busy`, `listen_failed` */
async function bind(server: Server, address: NbdAddress): Promise<BoundSocket | undefined> {
  try {
    if (address.kind === "unix") return await bindUnixSocket(address, (path) => listen(server, { path }));
    await listen(server, { host: address.host, port: address.port });
    return undefined;
  } catch (error) {
    server.close();
    if (error instanceof NbdError) throw error;
    const shown = quote(address.kind === "unix" ? address.path : `${address.host}:${address.port}`);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE")
      throw new NbdError("busy", `cannot listen on ${shown}: another process does`, { cause: error });
    throw new NbdError("listen_failed", `cannot listen on ${shown}: ${message}`, { cause: error });
  }
}

async function listen(server: Server, options: { path: string } | { host: string; port: number }): Promise<void> {
  const listening = once(server, "listening");
  server.listen(options);
  await listening;
}
