import { quote } from "@lamella/refs";

import { isConfinedAddress, isLoopbackAddress } from "./address.js";
import { OciClientError } from "./errors.js";

/** Answers whether plain HTTP may be spoken with a host, given as `host` or `host:port`. */
export type PlainHttp = (host: string) => boolean;

export const DOCKER_HUB = "docker.io";
const DOCKER_HUB_REGISTRY = "registry-1.docker.io";

/** Whether a host, with or without a port, is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. The default {@link PlainHttp}. */
export function isLoopbackHost(host: string): boolean {
  return URL.canParse(`http://${host}`) && isLoopbackAddress(new URL(`http://${host}`).hostname);
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
  if (isConfinedAddress(to.hostname)) return "a link-local address is never followed";
  if (isLoopbackAddress(to.hostname) && !isLoopbackAddress(from.hostname))
    return "it leads from another machine into this one";
  return undefined;
}
