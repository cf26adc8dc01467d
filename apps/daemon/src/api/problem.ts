import { STATUS_CODES } from "node:http";

import { ImageStoreError } from "@lamella/image-store";
import { OciClientError } from "@lamella/oci-client";
import { LamellaError, quote } from "@lamella/refs";
import { HTTPException } from "hono/http-exception";
import type { Context } from "hono";

import { CLIENT_HAS_GONE, isBrokenOff } from "../broken-off.js";
import { refuse } from "../refusal.js";

/** An error as an answer. The code of the error is that of the answer, but for those that hypeman's clients know by another. */
interface Answer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const BAD_REQUEST = 400;
const INTERNAL = 500;
const UNAVAILABLE = 503;

/** By code, whichever package it comes from. What is not here and not of a source is our own failure. */
const STATUSES: Readonly<Record<string, number>> = {
  invalid_request: 400,
  invalid_name: 400,
  platform_invalid: 400,
  digest_invalid: 400,
  digest_unsupported: 400,
  option_invalid: 400,
  invalid_argument: 400,
  source_unsupported: 400,
  origin_foreign: 403,
  not_found: 404,
  build_cancelled: 404,
  ambiguous: 409,
  in_use: 409,
  name_taken: 409,
  already_exists: 409,
  failed_precondition: 409,
  key_reused: 422,
  not_image: 422,
  unsupported: 422,
  document_invalid: 422,
  document_too_large: 422,
  size_too_small: 422,
  layer_limit: 422,
  busy: UNAVAILABLE,
  closed: UNAVAILABLE,
  stopping: UNAVAILABLE,
  too_many_files: UNAVAILABLE,
  timeout: 504,
  no_space: 507,
  quota_exceeded: 507,
};

/** What a registry has, or does not: that is an answer. Whatever else it does is its failure, and its codes are those of the source. */
const SOURCE_STATUSES: Readonly<Record<string, number>> = {
  not_found: 404,
  address_invalid: 400,
  platform_unavailable: 422,
  unsupported: 422,
  document_invalid: 422,
  document_too_large: 422,
  rate_limited: UNAVAILABLE,
  timeout: 504,
};
const BAD_GATEWAY = 502;

const INVALID_NAME = new Set(["name_invalid", "source_invalid", "address_invalid"]);

/** Answers with what went wrong, as problem+json. What is our fault is told to `onError`, and to the client only that it was. */
export function answerProblem(error: unknown, c: Context, onError: (error: unknown) => void): Response {
  const { status, code, detail, headers } = answerOf(error, c);
  // nobody hears it, and nothing has failed
  if (status === INTERNAL && isBrokenOff(error, c.req.raw)) return new Response(null, { status: CLIENT_HAS_GONE });
  if (status >= INTERNAL) onError(error);
  return refuse(status, { code, title: STATUS_CODES[status] ?? "Error", detail }, headers);
}

function answerOf(error: unknown, { req }: Context): Answer {
  if (error instanceof HTTPException) return { status: error.status, code: "invalid_request", detail: error.message };
  if (error instanceof LamellaError) {
    const status = statusOf(error);
    if (status !== undefined) {
      const code = INVALID_NAME.has(error.code) || error.code.startsWith("reference_") ? "invalid_name" : error.code;
      return { status, code, detail: error.message, ...(status === UNAVAILABLE && { headers: retryAfter(error) }) };
    }
  }
  const detail = `cannot ${req.method} ${quote(req.path)}: the daemon failed; its log says how`;
  return { status: INTERNAL, code: "internal_error", detail };
}

function statusOf(error: LamellaError): number | undefined {
  const { code } = error;
  if (error instanceof OciClientError) return SOURCE_STATUSES[code] ?? BAD_GATEWAY;
  if (code.startsWith("reference_") || INVALID_NAME.has(code)) return BAD_REQUEST;
  if (code === "io_failed" && error instanceof ImageStoreError) return undefined;
  return Object.hasOwn(STATUSES, code) ? STATUSES[code] : undefined;
}

const MS = 1000;

function retryAfter(error: LamellaError): Record<string, string> {
  const waitMs = error instanceof OciClientError ? (error.retryAfterMs ?? MS) : MS;
  return { "Retry-After": String(Math.ceil(waitMs / MS)) };
}
