import { NbdError } from "./errors.js";

/** What clients may take of the server. Memory is at most about `maxConnections` times `maxBytes`, or 32 MiB where that is more. */
export interface NbdLimits {
  /** Clients at once; one more is turned away. 16 by default. */
  readonly maxConnections: number;
  /** Requests of a client that are in flight at once; further ones wait. 64 by default. */
  readonly maxRequests: number;
  /** Bytes of replies that are made at once for a client; a single read of 32 MiB may have more. 32 MiB by default. */
  readonly maxBytes: number;
  /** How long a client may take for the handshake. 10,000 by default. */
  readonly handshakeMs: number;
  /** How long a client may leave replies untaken. 60,000 by default. */
  readonly stallMs: number;
  /** How long a disk may take for a read, at most 1 MiB of a structured reply or all of a simple one, until it is an error. 60,000 by default. */
  readonly readTimeoutMs: number;
}

const DEFAULTS: NbdLimits = {
  maxConnections: 16,
  maxRequests: 64,
  maxBytes: 32 << 20,
  handshakeMs: 10_000,
  stallMs: 60_000,
  readTimeoutMs: 60_000,
};

/** A timer of more fires at once. */
const LIMIT_MAX = 2 ** 31 - 1;

/** @throws {NbdError} `option_invalid` */
export function completeLimits(given: Partial<NbdLimits> = {}): NbdLimits {
  const limits = { ...DEFAULTS, ...given };
  for (const [name, limit] of Object.entries(limits)) {
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX)
      throw new NbdError(
        "option_invalid",
        `cannot use ${limit} for ${name}: not a whole number from 1 to ${LIMIT_MAX}`,
      );
  }
  return limits;
}
