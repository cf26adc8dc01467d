/**
 * The base of every error that Lamella throws on purpose. Each package has one subclass with its own union of codes;
 * callers test `code`, never the message. A code is never reused for another meaning.
 */
export class LamellaError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/**
 * - `reference_*`: the text is not an image reference; the suffix names the rule.
 * - `digest_invalid`, `digest_unsupported`: the text is not `algorithm:hex`, or the algorithm is not one of ours.
 * - `platform_invalid`: the text is not `os[(version+feature)]/arch[/variant]`.
 * - `document_invalid`: a manifest, index or config breaks its specification.
 * - `document_too_large`: a document is over its cap.
 * - `digest_mismatch`, `size_mismatch`: bytes are not those that their descriptor promised.
 */
export type RefsErrorCode =
  | "reference_empty"
  | "reference_format"
  | "reference_uppercase"
  | "reference_too_long"
  | "reference_tag"
  | "digest_invalid"
  | "digest_unsupported"
  | "platform_invalid"
  | "document_invalid"
  | "document_too_large"
  | "digest_mismatch"
  | "size_mismatch";

export class RefsError extends LamellaError<RefsErrorCode> {}
