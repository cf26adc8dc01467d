import { LamellaError } from "@lamella/refs";

/**
 * - `listen_invalid`: the text is not an address to listen on.
 * - `listen_exposed`: the address can be reached from other machines, which needs a token.
 * - `listen_failed`: the system refused; `cause` is its error.
 * - `directory_unset`: a default directory depends on a variable of the environment that is not set.
 */
export type DaemonErrorCode = "listen_invalid" | "listen_exposed" | "listen_failed" | "directory_unset";

export class DaemonError extends LamellaError<DaemonErrorCode> {}
