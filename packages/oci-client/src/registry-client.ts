import { formatReference, parseReference, quote, type Reference } from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { DEFAULT_TIMEOUTS, type Timeouts } from "./exchange.js";
import { isLoopbackHost, type PlainHttp, registryUrl } from "./host.js";
import { createHttpTransport } from "./http-transport.js";
import { openRepository, type Repository } from "./repository.js";
import { DEFAULT_RETRY, type RetryPolicy } from "./retry.js";
import { type ClientContext, openSession } from "./session.js";
import type { Transport } from "./transport.js";

export interface RegistryClientOptions {
  /** Default: HTTP over kept-alive connections, closed with the client. One that is given stays its giver's to close. */
  transport?: Transport;
  /** Which hosts are asked over plain HTTP. Default: only this machine ({@link isLoopbackHost}). */
  plainHttp?: PlainHttp;
  timeouts?: Partial<Timeouts>;
  retry?: Partial<RetryPolicy>;
  /** Default: `lamella`. */
  userAgent?: string;
}

/** Talks to any number of registries, anonymously. Close it when done: connections are kept alive until then. */
export interface RegistryClient extends AsyncDisposable {
  /**
   * The repository that a reference names; its tag and digest play no part. Nothing is sent yet.
   * @throws {OciClientError} `address_invalid`
   */
  repository(reference: Pick<Reference, "domain" | "path">): Repository;
  /** Ends what is under way. May be called twice. */
  close(): Promise<void>;
}

export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const ownTransport = options.transport === undefined ? createHttpTransport(timeouts) : undefined;
  const context: ClientContext = {
    transport: options.transport ?? (ownTransport as Transport),
    timeouts,
    plainHttp: options.plainHttp ?? isLoopbackHost,
    retry: { ...DEFAULT_RETRY, ...options.retry },
    userAgent: options.userAgent ?? "lamella",
  };
  const close = async (): Promise<void> => ownTransport?.close();
  return {
    repository({ domain, path }) {
      checkRepository({ domain, path });
      return openRepository(openSession(context, registryUrl(domain, context.plainHttp), { domain, path }));
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
