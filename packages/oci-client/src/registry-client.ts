import { type CallOptions, formatReference, parseReference, quote, type Reference } from "@lamella/refs";

import { anonymousCredentials, type Credentials } from "./credentials.js";
import { listRepositories } from "./catalog.js";
import { OciClientError } from "./errors.js";
import { DEFAULT_TIMEOUTS, type Timeouts } from "./exchange.js";
import { createFetchTransport } from "./fetch-transport.js";
import { isLoopbackHost, type PlainHttp, registryUrl } from "./host.js";
import { createHostLimits } from "./host-limits.js";
import { type Mirror, openMirror, openMirroredRepository } from "./mirrors.js";
import { type OnNotice, withoutRepetition } from "./notice.js";
import { pingRegistry } from "./ping.js";
import { openRepository, type Repository } from "./repository.js";
import { DEFAULT_RETRY, type RetryPolicy } from "./retry.js";
import { type ClientContext, openSession } from "./session.js";
import type { ListOptions } from "./tags.js";
import type { Transport } from "./transport.js";

export interface RegistryClientOptions {
  /** Default: the platform's `fetch`; in Node, HTTP over kept-alive connections, closed with the client. One that is given stays its giver's to close. */
  transport?: Transport;
  /** Which hosts are asked over plain HTTP. Default: only this machine ({@link isLoopbackHost}). */
  plainHttp?: PlainHttp;
  timeouts?: Partial<Timeouts>;
  retry?: Partial<RetryPolicy>;
  /**
   * Where to find the password or token that a registry asks for. It goes to that registry's origin alone, or to the token server that the
   * registry itself names, over HTTPS unless both may be asked over plain HTTP. Default: nowhere, every request is anonymous.
   */
  credentials?: Credentials;
  /** Default: `lamella`. */
  userAgent?: string;
  /** Where else the images of a host (`docker.io`, `registry.example:5000`) are read from, before it is asked itself. Default: nowhere. */
  mirrors?: (host: string) => readonly Mirror[];
  /**
   * Whether layers that registries must not hold are read from the `urls` that their descriptors give, when the registry has none. No
   * credential goes there, and nothing to where no redirect is followed either. Default: false.
   */
  foreignUrls?: boolean;
  /** Told what registries say beside their answers: allowances, warnings, requests to wait, mirrors that fail. */
  onNotice?: OnNotice;
}

/** Talks to any number of registries. Close it when done: connections are kept alive until then. */
export interface RegistryClient extends AsyncDisposable {
  /**
   * The repository that a reference names; its tag and digest play no part. Nothing is sent yet.
   * @throws {OciClientError} `address_invalid`
   */
  repository(reference: Pick<Reference, "domain" | "path">): Repository;
  /**
   * The paths of all repositories of a registry, by the domain that a reference names it with. Many registries allow it to nobody.
   * @throws {OciClientError} `address_invalid` at once, and those of a request
   */
  catalog(domain: string, options?: ListOptions): AsyncIterable<string>;
  /**
   * Asks a registry, by the domain that a reference names it with, whether it takes this client's credentials: what a login does first.
   * `unauthorized` when it does not, or wants some and there are none. Registries that serve everybody take a client without any.
   */
  ping(domain: string, options?: CallOptions): Promise<void>;
  /** Ends what is under way. May be called twice. */
  close(): Promise<void>;
}

export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  const context: ClientContext = {
    transport: options.transport ?? createFetchTransport((request) => globalThis.fetch(request)),
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    limits: createHostLimits(retry),
    onNotice: withoutRepetition(options.onNotice ?? (() => {})),
    plainHttp: options.plainHttp ?? isLoopbackHost,
    retry,
    userAgent: options.userAgent ?? "lamella",
    credentials: options.credentials ?? anonymousCredentials(),
    authorizers: new Map(),
    foreignUrls: options.foreignUrls ?? false,
  };
  const close = async (): Promise<void> => {};
  return {
    repository({ domain, path }) {
      checkRepository({ domain, path });
      const session = openSession(context, registryUrl(domain, context.plainHttp), { domain, path });
      const mirrors = options.mirrors?.(domain).map((mirror) => openMirror(context, mirror, { domain, path })) ?? [];
      return mirrors.length === 0 ? openRepository(session) : openMirroredRepository(session, mirrors);
    },
    catalog(domain, options = {}) {
      checkRepository({ domain, path: "any/repository" });
      const session = openSession(context, registryUrl(domain, context.plainHttp), { domain, path: "" });
      return listRepositories(session, options);
    },
    async ping(domain, options = {}) {
      checkRepository({ domain, path: "any/repository" });
      await pingRegistry(openSession(context, registryUrl(domain, context.plainHttp), { domain, path: "" }), options);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The path becomes part of every address: it must be one that the grammar allows. */
function checkRepository(repository: Pick<Reference, "domain" | "path">): void {
  const text = formatReference(repository);
  let cause: unknown;
  try {
    const { domain, path, tag, digest } = parseReference(text);
    const isName = tag === undefined && digest === undefined;
    if (isName && domain === repository.domain && path === repository.path) return;
  } catch (error) {
    cause = error;
  }
  const message = `cannot use repository ${quote(text)}: not a complete repository name`;
  throw new OciClientError("address_invalid", message, { cause });
}
