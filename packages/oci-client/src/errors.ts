import { LamellaError } from "@lamella/refs";

/**
 * - `not_found`: the registry or the layout has no such repository, manifest, tag or blob.
 * - `unauthorized`: credentials are missing or not accepted; `denied`: they are, but the act is not allowed.
 * - `rate_limited`, `unavailable`, `network`, `timeout`: trying again later may help.
 * - `rejected`: the registry understood and refused, as a manifest that it holds for invalid.
 * - `protocol`: the registry's answer breaks HTTP or the distribution specification.
 * - `too_large`: an answer is over its cap.
 * - `redirect_refused`: the registry points where a client must not go.
 * - `insecure`: plain HTTP where nobody allowed it.
 * - `address_invalid`: the name is not a host, a repository, a tag or a digest that can be asked for.
 * - `layout_invalid`, `name_ambiguous`: an OCI layout breaks its specification, or has several images by one name.
 */
export type OciClientErrorCode =
  | "not_found"
  | "unauthorized"
  | "denied"
  | "rate_limited"
  | "unavailable"
  | "network"
  | "timeout"
  | "rejected"
  | "protocol"
  | "too_large"
  | "redirect_refused"
  | "insecure"
  | "address_invalid"
  | "layout_invalid"
  | "name_ambiguous";

export interface OciClientErrorOptions extends ErrorOptions {
  status?: number | undefined;
  retryAfterMs?: number | undefined;
}

/** Messages name the repository and the registry's side; credentials and the queries of URLs never stand in them. */
export class OciClientError extends LamellaError<OciClientErrorCode> {
  /** The HTTP status that was answered, if one was. */
  readonly status: number | undefined;
  /** How long the registry asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(code: OciClientErrorCode, message: string, options: OciClientErrorOptions = {}) {
    super(code, message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}
