import { LamellaError, type RefsErrorCode } from "@lamella/refs";

/**
 * - `not_found`: the registry or the layout has no such repository, manifest, tag or blob.
 * - `unauthorized`: credentials are missing or not accepted; `denied`: they are, but the act is not allowed.
 * - `rate_limited`, `unavailable`, `network`, `timeout`: trying again later may help.
 * - `rejected`: the registry understood and refused, as a manifest that it holds for invalid.
 * - `protocol`: the registry's answer breaks HTTP or the distribution specification.
 * - `range_unusable`: a part of a blob was asked for, and the registry answers the whole or another part.
 * - `too_large`: an answer is over its cap.
 * - `redirect_refused`: the registry points where a client must not go.
 * - `insecure`: plain HTTP where nobody allowed it.
 * - `credentials_invalid`: credentials are kept where or how they cannot be read, or cannot be sent as they are.
 * - `helper_failed`: a credential helper is not there, does not end, or fails.
 * - `address_invalid`: the name is not a host, a repository, a tag or a digest that can be asked for.
 * - `config_invalid`: a file that says how registries are reached is not what it has to be.
 * - `layout_invalid`, `name_ambiguous`: an OCI layout breaks its specification, or has several images by one name.
 * - `archive_invalid`: a file is not a tar of an image, or has members that no such tar has.
 * - `platform_unavailable`: an index has no image for the wanted platform.
 * - `unsupported`: what is asked for cannot be done there, as several platforms in one docker-archive.
 * - `busy`: another process holds the index of an OCI layout.
 * - `storage`: the file system failed; the cause says how.
 * - those of `RefsErrorCode`: only from {@link copyImage}, which says on which side content was not what was promised.
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
  | "range_unusable"
  | "too_large"
  | "redirect_refused"
  | "insecure"
  | "credentials_invalid"
  | "helper_failed"
  | "address_invalid"
  | "config_invalid"
  | "layout_invalid"
  | "name_ambiguous"
  | "archive_invalid"
  | "platform_unavailable"
  | "unsupported"
  | "busy"
  | "storage"
  | RefsErrorCode;

export interface OciClientErrorOptions extends ErrorOptions {
  status?: number | undefined;
  retryAfterMs?: number | undefined;
  side?: "source" | "destination" | undefined;
}

/** Messages name the repository and the registry's side; credentials and the queries of URLs never stand in them. */
export class OciClientError extends LamellaError<OciClientErrorCode> {
  /** The HTTP status that was answered, if one was. */
  readonly status: number | undefined;
  /** How long the registry asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** Which side of a copy failed. */
  readonly side: "source" | "destination" | undefined;

  constructor(code: OciClientErrorCode, message: string, options: OciClientErrorOptions = {}) {
    super(code, message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.side = options.side;
  }
}
