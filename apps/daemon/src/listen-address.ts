import { isIP, isIPv4 } from "node:net";

import { quote } from "@lamella/refs";

import { DaemonError } from "./errors.js";

/** Where the daemon listens. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** Port 0 takes any that is free. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  /** A socket that listens already, a unix or a TCP one, and is of whoever has bound it. */
  | { readonly kind: "inherited"; readonly fd: number };

export interface ParseListenOptions {
  /** Whether whoever comes by TCP has to show a token. */
  readonly guarded?: boolean;
}

/** The kernel's `sun_path` with its end. */
const SOCKET_PATH_MAX_BYTES = 107;

/**
 * `unix:PATH`, an absolute path, or `ADDRESS:PORT`. `localhost` is taken to be 127.0.0.1 without asking a resolver; other names are no addresses. Beyond this
 * machine nothing listens that is not guarded.
 *
 * Throws `listen_invalid` and `listen_exposed`.
 */
export function parseListenAddress(text: string, { guarded = false }: ParseListenOptions = {}): ListenAddress {
  const path = text.startsWith("unix:") ? text.slice("unix:".length) : text;
  if (path.startsWith("/")) return { kind: "unix", path: checkPath(path) };
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const [, host = "", port = ""] = match ?? [];
  if (match === null || Number(port) > 65_535) {
    throw new DaemonError("listen_invalid", `cannot listen on ${quote(text)}: not unix:PATH or ADDRESS:PORT`);
  }
  if (host === "localhost") return { kind: "tcp", host: "127.0.0.1", port: Number(port) };
  if (!isLoopbackHost(host) && !guarded) {
    const state = "other machines could reach it, and there is no token; use a loopback address or a unix socket";
    throw new DaemonError("listen_exposed", `cannot listen on ${quote(text)}: ${state}`);
  }
  const address = host.replace(/^\[|\]$/g, "");
  if (isIP(address) === 0) {
    throw new DaemonError("listen_invalid", `cannot listen on ${quote(text)}: a name is no address of this machine`);
  }
  return { kind: "tcp", host: address, port: Number(port) };
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
