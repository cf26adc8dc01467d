import { LamellaError } from "@lamella/refs";

/**
 * - `option_invalid`: a limit, a name, an address or a source is not what it has to be.
 * - `address_exposed`: the address can be reached from other machines, and the protocol has no password.
 * - `busy`: another process listens there.
 * - `listen_failed`: the system refused the address; `cause` is its error.
 * - `source_invalid`: a source gave more or fewer bytes than it was asked for.
 * - `timeout`: a source did not give in time what it was asked for.
 * - `client_invalid`: a client broke the protocol and was cut off.
 * - `client_gone`: a client left before its replies were sent.
 * - `client_stalled`: a client did not take its replies, or did not get through the handshake in time, and was cut off.
 */
export type NbdErrorCode =
  | "option_invalid"
  | "address_exposed"
  | "busy"
  | "listen_failed"
  | "source_invalid"
  | "timeout"
  | "client_invalid"
  | "client_gone"
  | "client_stalled";

export class NbdError extends LamellaError<NbdErrorCode> {}

export function clientInvalid(state: string): NbdError {
  return new NbdError("client_invalid", `cannot serve a client: ${state}`);
}
