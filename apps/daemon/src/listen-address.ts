import { isIPv4 } from "node:net";

import { quote } from "@lamella/refs";

import { DaemonError } from "./errors.js";

/** Where the daemon listens: a unix socket, or a TCP port of this machine only. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** Port 0 takes any that is free. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** The kernel's `sun_path` with its end. */
const SOCKET_PATH_MAX_BYTES = 107;

/**
 * `unix:PATH`, an absolute path, or `HOST:PORT`. A host is a loopback address or `localhost`, which is taken to be 127.0.0.1
 * without asking a resolver: there is no authentication, so nothing listens beyond this machine.
 *
 * Throws `listen_invalid` and `listen_exposed`.
 */
export function parseListenAddress(text: string): ListenAddress {
  const path = text.startsWith("unix:") ? text.slice("unix:".length) : text;
  if (path.startsWith("/")) return { kind: "unix", path: checkPath(path) };
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const [, host = "", port = ""] = match ?? [];
  if (match === null || Number(port) > 65_535) {
    throw new DaemonError("listen_invalid", `cannot listen on ${quote(text)}: not unix:PATH or HOST:PORT`);
  }
  if (host === "localhost") return { kind: "tcp", host: "127.0.0.1", port: Number(port) };
  if (!isLoopbackHost(host)) {
    const state = "other machines could reach it, and there is no token; use a loopback address or a unix socket";
    throw new DaemonError("listen_exposed", `cannot listen on ${quote(text)}: ${state}`);
  }
  return { kind: "tcp", host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** Whether a host as a URL writes it is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "[::1]" || (isIPv4(host) && host.startsWith("127."));
}

function checkPath(path: string): string {
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES && !path.includes("\0")) return path;
  const state = `a socket's path has at most ${SOCKET_PATH_MAX_BYTES} bytes`;
  throw new DaemonError("listen_invalid", `cannot listen on ${quote(path)}: ${state}`);
}
