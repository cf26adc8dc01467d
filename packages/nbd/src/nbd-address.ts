import { isIPv4 } from "node:net";
import { resolve } from "node:path";

import { quote } from "@lamella/refs";

import { NbdError } from "./errors.js";

/** Where to listen. */
export type NbdListen =
  /** A unix socket, with the mode 0600 if no other is given. */
  | { readonly path: string; readonly mode?: number | undefined }
  /** A port of this machine alone; 0 for any that is free. The host is 127.0.0.1 if no other is given. */
  | { readonly port: number; readonly host?: string | undefined };

/** Where a server listens. */
export type NbdAddress =
  | { readonly kind: "unix"; readonly path: string; readonly mode: number }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

const MODE_DEFAULT = 0o600;

/** @throws {NbdError} `option_invalid`, `address_exposed` */
export function parseListen(listen: NbdListen): NbdAddress {
  if ("path" in listen) {
    const { path, mode = MODE_DEFAULT } = listen;
    if (path === "" || path.includes("\0") || !Number.isInteger(mode) || mode < 0 || mode > 0o777)
      throw new NbdError("option_invalid", `cannot listen on ${quote(path)}: not a path with a mode up to 0777`);
    return { kind: "unix", path: resolve(path), mode };
  }
  const { port, host = "127.0.0.1" } = listen;
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new NbdError("option_invalid", `cannot listen on port ${port}: not one from 0 to 65535`);
  if (!isLoopback(host)) {
    const state =
      "other machines could read the disk, for NBD asks for no password; use a loopback address or a unix socket";
    throw new NbdError("address_exposed", `cannot listen on ${quote(host)}: ${state}`);
  }
  return { kind: "tcp", host: host === "localhost" ? "127.0.0.1" : host, port };
}

/** The URI of a disk, as qemu and libnbd take it. */
export function nbdUri(address: NbdAddress, name: string): string {
  const disk = encodeURIComponent(name);
  if (address.kind === "tcp") {
    const host = address.host.includes(":") ? `[${address.host}]` : address.host;
    return `nbd://${host}:${address.port}${disk && `/${disk}`}`;
  }
  return `nbd+unix:///${disk}?socket=${encodeURIComponent(address.path).replaceAll("%2F", "/")}`;
}

/** No resolver is asked: what it says may change. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}
