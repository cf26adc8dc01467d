import { LamellaError } from "@lamella/refs";

/**
 * - `listen_invalid`: the text is not an address to listen on.
 * - `listen_exposed`: the address can be reached from other machines, which needs a token.
 * - `listen_failed`: the system refused; `cause` is its error.
 * - `directory_unset`: a default directory depends on a variable of the environment that is not set.
 * - `settings_invalid`: a setting is unknown or its value is of no use; the message names where it was made.
 * - `token_invalid`: what is given as the token is none.
 * - `key_reused`: an idempotency key comes with another request than before.
 * - `stopping`: what is under way ends, for the daemon does.
 * - `tls_invalid`: the certificate and its key are not there or do not fit.
 * - `not_found`: an image has no such file or layer, or there is no such disk.
 * - `invalid_request`: what a client asks for is not to be had in this way.
 * - `busy`: as much is open as may be at once; later there is room.
 */
export type DaemonErrorCode =
  | "listen_invalid"
  | "listen_exposed"
  | "listen_failed"
  | "directory_unset"
  | "settings_invalid"
  | "key_reused"
  | "stopping"
  | "token_invalid"
  | "tls_invalid"
  | "not_found"
  | "invalid_request"
  | "busy";

export class DaemonError extends LamellaError<DaemonErrorCode> {}
