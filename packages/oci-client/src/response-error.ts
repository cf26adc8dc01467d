import { quote } from "@lamella/refs";

import { readStart } from "./body.js";
import { OciClientError, type OciClientErrorCode } from "./errors.js";
import { redact } from "./redaction.js";
import type { FollowedResponse } from "./redirect.js";
import { parseRetryAfter } from "./retry-after.js";

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_SHOWN = 256;

/** An answer that is not what was hoped for, as an error. Reads and closes its body. */
export async function responseError(response: FollowedResponse, act: string): Promise<OciClientError> {
  const { status, url } = response;
  const detail = describe(await readStart(response.body, MAX_ERROR_BYTES).catch(() => new Uint8Array()));
  const message = `cannot ${act}: ${url.origin} answers ${status}${detail === undefined ? "" : ` (${detail})`}`;
  return new OciClientError(codeOf(status), message, { status, retryAfterMs: parseRetryAfter(response.headers) });
}

function codeOf(status: number): OciClientErrorCode {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "denied";
    case 404:
      return "not_found";
    case 408:
    case 425:
      return "unavailable";
    case 429:
      return "rate_limited";
    default:
      if (status >= 500) return "unavailable";
      return status >= 400 ? "rejected" : "protocol";
  }
}

/** The first error of the specification's error document: `MANIFEST_UNKNOWN: "manifest unknown"`. */
function describe(bytes: Uint8Array): string | undefined {
  try {
    const document = JSON.parse(new TextDecoder().decode(bytes)) as {
      errors?: { code?: unknown; message?: unknown }[];
    };
    const { code, message } = document.errors?.[0] ?? {};
    const parts = [
      typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code) ? code : undefined,
      typeof message === "string" && message !== "" ? quote(redact(message.slice(0, MAX_SHOWN))) : undefined,
    ];
    return parts.filter((part) => part !== undefined).join(": ") || undefined;
  } catch {
    return undefined;
  }
}
