import { CONFINED } from "./confined-lookup.js";
import { OciClientError } from "./errors.js";

const STATES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection broke",
  EPIPE: "the connection broke",
  UND_ERR_SOCKET: "the connection broke",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the connection broke",
  HPE_INVALID_EOF_STATE: "the connection broke",
  ENOTFOUND: "the host was not found",
  EAI_AGAIN: "the host was not found",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
};

const TIMEOUTS: ReadonlySet<string> = new Set(["UND_ERR_CONNECT_TIMEOUT", "ETIMEDOUT"]);

/** A wrong name or certificate stays wrong: trying again only makes the user wait. */
const LASTING = /^ENOTFOUND$|CERT|^ERR_TLS_|^ERR_SSL_|UNABLE_TO_VERIFY/;

/** What a transport threw, as one of ours. `act` completes "cannot …", `origin` is the side that was talked to. */
export function toNetworkError(error: unknown, act: string, origin: string): OciClientError {
  if (error instanceof OciClientError) return error;
  const code = systemCode(error);
  if (code !== undefined && TIMEOUTS.has(code)) {
    return new OciClientError("timeout", `cannot ${act}: ${origin} does not answer`, { cause: error });
  }
  if (code === CONFINED) {
    const state = "its name stands for a link-local address, which is never followed";
    return new OciClientError("redirect_refused", `cannot ${act}: ${origin} is not followed: ${state}`, {
      cause: error,
    });
  }
  const isMalformed =
    code !== undefined && !Object.hasOwn(STATES, code) && /^HPE_|^UND_ERR_HEADERS_OVERFLOW$/.test(code);
  const state = code === undefined ? "the exchange failed" : (STATES[code] ?? `the exchange failed (${code})`);
  const message = `cannot ${act}: ${isMalformed ? "the answer is not HTTP" : state} at ${origin}`;
  return new OciClientError(isMalformed ? "protocol" : "network", message, { cause: error });
}

/** Whether trying again may help. */
export function isTransient(error: unknown): error is OciClientError {
  if (!(error instanceof OciClientError)) return false;
  switch (error.code) {
    case "rate_limited":
    case "unavailable":
    case "timeout":
      return true;
    case "network":
      return !LASTING.test(systemCode(error.cause) ?? "");
    default:
      return false;
  }
}

/** The platform's `fetch` hides the code of the system one or two causes down. */
function systemCode(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < 4 && current instanceof Error; depth++) {
    if ("code" in current && typeof current.code === "string") return current.code;
    current = current.cause;
  }
  return undefined;
}
