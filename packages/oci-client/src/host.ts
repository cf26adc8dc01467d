import { BlockList, isIPv6 } from "node:net";

import { quote } from "@lamella/refs";

import { OciClientError } from "./errors.js";

/** Answers whether plain HTTP may be spoken with a host, given as `host` or `host:port`. */
export type PlainHttp = (host: string) => boolean;

const DOCKER_HUB = "docker.io";
const DOCKER_HUB_REGISTRY = "registry-1.docker.io";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** "This host" and link-local: where clouds keep their metadata and credentials. */
const CONFINED = new BlockList();
CONFINED.addSubnet("0.0.0.0", 8, "ipv4");
CONFINED.addSubnet("169.254.0.0", 16, "ipv4");
CONFINED.addAddress("::", "ipv6");
CONFINED.addSubnet("fe80::", 10, "ipv6");

/** Whether a host, with or without a port, is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. The default {@link PlainHttp}. */
export function isLoopbackHost(host: string): boolean {
  return URL.canParse(`http://${host}`) && isLoopback(new URL(`http://${host}`));
}

/**
 * The root URL of the registry that serves a reference's domain.
 * @throws {OciClientError} `address_invalid`
 */
export function registryUrl(domain: string, plainHttp: PlainHttp): URL {
  const host = domain === DOCKER_HUB ? DOCKER_HUB_REGISTRY : domain.toLowerCase();
  const scheme = plainHttp(host) ? "http" : "https";
  if (!URL.canParse(`${scheme}://${host}/`)) {
    throw new OciClientError("address_invalid", `cannot use registry ${quote(domain)}: not a host that can be asked`);
  }
  return new URL(`${scheme}://${host}/`);
}

/**
 * Why a client that talks to `from` must not follow it to `to`; undefined when it may. An untrusted registry chooses `to`:
 * it must neither lead from HTTPS to HTTP nor from elsewhere into this machine or its link-local network.
 */
export function refusalOf(from: URL, to: URL, plainHttp: PlainHttp): string | undefined {
  if (to.protocol !== "https:" && to.protocol !== "http:") return `${quote(to.protocol)} is not HTTP`;
  if (to.username !== "" || to.password !== "") return "it carries credentials";
  if (from.protocol === "https:" && to.protocol === "http:") return "it leads from HTTPS to plain HTTP";
  if (to.protocol === "http:" && !plainHttp(to.host)) return "plain HTTP is not allowed there";
  if (to.host === from.host) return undefined;
  if (isIn(CONFINED, to.hostname)) return "a link-local address is never followed";
  if (isLoopback(to) && !isLoopback(from)) return "it leads from another machine into this one";
  return undefined;
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || isIn(LOOPBACK, hostname);
}

function isIn(list: BlockList, hostname: string): boolean {
  const address = hostname.replaceAll(/^\[|\]$/g, "");
  return list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}
