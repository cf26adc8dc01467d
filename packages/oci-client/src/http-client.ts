import { DEFAULT_TIMEOUTS } from "./exchange.js";
import { createHttpTransport, type HttpTransportOptions } from "./http-transport.js";
import {
  createRegistryClient as createPortableClient,
  type RegistryClient,
  type RegistryClientOptions as PortableClientOptions,
} from "./registry-client.js";

/** `tls` and `proxy` are the built-in transport's: a transport that is given has its own ways. */
export interface RegistryClientOptions extends PortableClientOptions, Pick<HttpTransportOptions, "tls" | "proxy"> {}

/** A client over Node's own network: connections are kept alive until it is closed. */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const { tls, proxy, ...rest } = options;
  if (rest.transport !== undefined) return createPortableClient(rest);
  const { connectMs } = { ...DEFAULT_TIMEOUTS, ...rest.timeouts };
  const transport = createHttpTransport({ connectMs, tls, proxy });
  const close = (): Promise<void> => transport.close();
  return { ...createPortableClient({ ...rest, transport }), close, [Symbol.asyncDispose]: close };
}
