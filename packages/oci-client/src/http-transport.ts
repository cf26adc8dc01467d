import { lookup as lookUp } from "node:dns";
import type { LookupFunction } from "node:net";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";

import type { Dispatcher } from "undici";

import { isLoopbackAddress } from "./address.js";
import { confinedLookup } from "./confined-lookup.js";
import { readIntoSlabs, type SlabReads } from "./socket-reads.js";
import type { ResponseHeaders, Transport, TransportRequest, TransportResponse } from "./transport.js";

/** What a TLS connection is made with, each in PEM. */
export interface TlsIdentity {
  /** Certificate authorities to trust beside those that Node brings. */
  readonly ca?: string | readonly string[] | undefined;
  /** The client's own certificate chain, with {@link TlsIdentity.key}. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Which proxies to go through, as the environment variables of these names have it. Empty: none. */
export interface ProxySettings {
  /** For plain HTTP: `http://[user:password@]host:port`. */
  readonly httpProxy?: string | undefined;
  /** For HTTPS, in a tunnel; that for plain HTTP where there is none of its own. */
  readonly httpsProxy?: string | undefined;
  /** Hosts, domains and `*`, separated by commas, that are reached directly. */
  readonly noProxy?: string | undefined;
}

export interface HttpTransportOptions {
  /** Until a connection stands, TLS included. */
  connectMs: number;
  /** By `host` or `host:port`. Default: Node's authorities and no certificate of the client's own. */
  tls?: ((host: string) => TlsIdentity | undefined) | undefined;
  /** Default: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the environment. This machine is always reached directly. */
  proxy?: ProxySettings | false | undefined;
  /** How the names of hosts are resolved. Default: as the system does. */
  lookup?: LookupFunction | undefined;
}

/** Connections that are used again for requests to the same origin. */
interface ConnectionPool {
  readonly dispatcher: (url: URL) => Dispatcher;
  readonly destroy: () => Promise<void>;
}

interface Connected {
  readonly slabs: SlabReads;
  /** To where the user leads. */
  readonly trusted: ConnectionPool;
  /** To where a server leads: their names are watched. */
  readonly led: ConnectionPool;
}

const SEND_AHEAD_BYTES = 256 * 1024;
/** One chunk: several that wait here are joined by a copy, while what waits in the system's buffer comes in one read. */
const READ_AHEAD_BYTES = 1;

/** One odd field that nobody asks for must not spoil the answer. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** HTTP/1.1 over kept-alive connections. Waiting for headers and bodies is bounded by the caller's signal. */
export function createHttpTransport(options: HttpTransportOptions): Transport {
  let connecting: Promise<Connected> | undefined;
  return {
    async request({ url, method, headers, body, isLed, isLent, signal }: TransportRequest): Promise<TransportResponse> {
      connecting ??= connect(options);
      const { trusted, led, slabs } = await connecting;
      // A connection whose answer has just been read to its end is free only in the next turn; without it each request makes a new one.
      await nextTurn();
      signal.throwIfAborted();
      const { dispatcher } = isLed === true ? led : trusted;
      const response = await dispatcher(url).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers,
        body: toRequestBody(body),
        signal,
        // After a HEAD, too, the connection stays.
        reset: false,
        highWaterMark: READ_AHEAD_BYTES,
      });
      // Its iterator reports every error; without a listener an answer that nobody reads to its end would end the process.
      response.body.on("error", () => {});
      readOneByOne(response.body);
      const isContent = response.statusCode < 300;
      const chunks = isLent === true && isContent ? lend(response.body, slabs) : response.body;
      return { status: response.statusCode, headers: toHeaders(response.headers), body: chunks };
    },
    async close(): Promise<void> {
      const connected = await connecting;
      await Promise.all([connected?.trusted.destroy(), connected?.led.destroy()]);
    },
  };
}

/** Loading undici takes longer than most commands that need no network. */
async function connect(options: HttpTransportOptions): Promise<Connected> {
  const undici = await import("undici");
  const { lookup = lookUp } = options;
  const slabs = readIntoSlabs();
  const trusted = openPool(undici, { ...options, lookup }, slabs);
  const led = openPool(undici, { ...options, lookup: confinedLookup(lookup) }, slabs);
  return { trusted, led, slabs };
}

function openPool(
  { Agent, EnvHttpProxyAgent }: typeof import("undici"),
  { connectMs, tls, proxy, lookup }: HttpTransportOptions,
  { onread }: SlabReads,
): ConnectionPool {
  const base = { timeout: connectMs, lookup, onread };
  const common = { headersTimeout: 0, bodyTimeout: 0 };
  const identified = new Map<string, Dispatcher>();
  const direct = new Agent({ ...common, connect: base });
  const shared = proxied(undefined);

  function proxied(identity: TlsIdentity | undefined): Dispatcher {
    const connector = { ...base, ...(identity !== undefined && toTls(identity)) };
    if (proxy === false) return new Agent({ ...common, connect: connector });
    const settings = proxy === undefined ? {} : { httpProxy: "", httpsProxy: "", noProxy: "", ...definedOf(proxy) };
    // Many proxies refuse to tunnel to the port of plain HTTP.
    const tunnel = { proxyTunnel: false, proxyTls: { timeout: connectMs }, requestTls: connector };
    return new EnvHttpProxyAgent({ ...common, ...settings, ...tunnel, connect: connector });
  }

  function dispatcher(url: URL): Dispatcher {
    const known = identified.get(url.host);
    if (known !== undefined) return known;
    const identity = url.protocol === "https:" ? tls?.(url.host) : undefined;
    const isLocal = isLoopbackAddress(url.hostname);
    if (identity === undefined) return isLocal ? direct : shared;
    const made = isLocal ? new Agent({ ...common, connect: { ...base, ...toTls(identity) } }) : proxied(identity);
    identified.set(url.host, made);
    return made;
  }

  const destroy = async (): Promise<void> => {
    await Promise.all([direct, shared, ...identified.values()].map((agent) => agent.destroy()));
  };
  return { dispatcher, destroy };
}

/** Authorities that are given stand beside Node's own: a private registry must not make the public ones unknown. */
function toTls({ ca, cert, key }: TlsIdentity): { ca?: string[]; cert?: string; key?: string } {
  const authorities = typeof ca === "string" ? [ca] : ca;
  // An import of it would decode all authorities, for plain HTTP, too.
  const { rootCertificates } = process.getBuiltinModule("node:tls");
  return {
    ...(authorities !== undefined && { ca: [...rootCertificates, ...authorities] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

function definedOf(settings: ProxySettings): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/**
 * Left to itself, a read lets the connection go on before it takes what is there, and joins the two by a copy: every byte of a download
 * is then copied once more, into memory of its own.
 */
function readOneByOne(body: Readable): void {
  const read = body.read.bind(body);
  body.read = (size) => read(size ?? (body.readableLength || undefined));
}

async function* lend(body: AsyncIterable<Uint8Array>, slabs: SlabReads): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    yield chunk;
    slabs.release(chunk);
  }
}

function toRequestBody(body: TransportRequest["body"]): Uint8Array | Readable | null {
  if (body === undefined) return null;
  return body instanceof Uint8Array
    ? body
    : Readable.from(body, { objectMode: false, highWaterMark: SEND_AHEAD_BYTES });
}

/** Not Node's own `Headers`: the first of them loads all of its fetch, which takes as long as Node takes to start. */
function toHeaders(fields: Record<string, string | string[] | undefined>): ResponseHeaders {
  const joined = new Map<string, string>();
  for (const [name, values] of Object.entries(fields)) {
    const readable = [values ?? []].flat().filter((value) => FIELD_VALUE.test(value));
    if (readable.length > 0) joined.set(name.toLowerCase(), readable.map((value) => value.trim()).join(", "));
  }
  return { get: (name) => joined.get(name) ?? null };
}
