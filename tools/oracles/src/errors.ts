/**
 * - `tool_missing`: a command that the oracle needs is not installed; the message names its Debian package.
 * - `tool_failed`: a command ended with an error that is not a verdict; the message holds the end of what it said.
 * - `listing_incomplete`: the listing of a tree broke off or is out of order.
 * - `image_unreadable`: an OCI layout has no such tag, or what the tag names cannot be read.
 */
export type OracleErrorCode = "tool_missing" | "tool_failed" | "listing_incomplete" | "image_unreadable";

/** An oracle could not judge. A verdict, good or bad, is a return value and never one of these. */
export class OracleError extends Error {
  readonly code: OracleErrorCode;

  constructor(code: OracleErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "OracleError";
    this.code = code;
  }
}
