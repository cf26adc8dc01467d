import { RefsError } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { RegistryErrorCode } from "./errors.js";
import { jsonResponse } from "./json-response.js";

type Answer = readonly [status: number, code: string];

/** Statuses and codes of OCI distribution-spec 1.1, "Error codes"; where that has none, those of Docker's registry. */
const ANSWERS: Readonly<Record<RegistryErrorCode, Answer>> = {
  blob_unknown: [404, "BLOB_UNKNOWN"],
  manifest_unknown: [404, "MANIFEST_UNKNOWN"],
  upload_unknown: [404, "BLOB_UPLOAD_UNKNOWN"],
  name_unknown: [404, "NAME_UNKNOWN"],
  name_invalid: [400, "NAME_INVALID"],
  tag_invalid: [400, "TAG_INVALID"],
  path_too_long: [414, "NAME_INVALID"],
  page_invalid: [400, "PAGINATION_NUMBER_INVALID"],
  digest_missing: [400, "DIGEST_INVALID"],
  digest_mismatch: [400, "DIGEST_INVALID"],
  size_invalid: [400, "SIZE_INVALID"],
  range_invalid: [416, "RANGE_INVALID"],
  upload_busy: [409, "BLOB_UPLOAD_INVALID"],
  uploads_exhausted: [429, "TOOMANYREQUESTS"],
  manifest_invalid: [400, "MANIFEST_INVALID"],
  manifest_too_large: [413, "MANIFEST_INVALID"],
  manifest_reference_unknown: [404, "MANIFEST_BLOB_UNKNOWN"],
  body_slow: [408, "UNKNOWN"],
  manifests_exhausted: [429, "TOOMANYREQUESTS"],
  unauthorized: [401, "UNAUTHORIZED"],
  denied: [403, "DENIED"],
  scope_invalid: [400, "UNSUPPORTED"],
  secret_invalid: [500, "UNKNOWN"],
  storage_full: [507, "UNKNOWN"],
  endpoint_unknown: [404, "UNSUPPORTED"],
  method_unsupported: [405, "UNSUPPORTED"],
};

const BAD_DIGEST: Answer = [400, "DIGEST_INVALID"];
const BAD_DOCUMENT: Answer = [400, "MANIFEST_INVALID"];

/** Whether an error is the client's to know about. Every other is ours: the client learns that it happened, no more. */
export function isExpected(error: unknown): error is RegistryError | RefsError {
  return error instanceof RegistryError || error instanceof RefsError;
}

export function errorResponse(error: unknown, headers: Record<string, string> = {}): Response {
  const [status, code] = answerTo(error);
  const message = isExpected(error) ? error.message : "cannot answer: the registry failed";
  return jsonResponse({ errors: [{ code, message }] }, { status, headers });
}

function answerTo(error: unknown): Answer {
  if (error instanceof RegistryError) return ANSWERS[error.code];
  if (error instanceof RefsError) return error.code.startsWith("digest_") ? BAD_DIGEST : BAD_DOCUMENT;
  return [500, "UNKNOWN"];
}
