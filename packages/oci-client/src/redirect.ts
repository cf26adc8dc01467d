import { discard } from "./body.js";
import { OciClientError } from "./errors.js";
import { exchange, type ExchangeRequest, type Wire } from "./exchange.js";
import { type PlainHttp, refusalOf } from "./host.js";
import { showUrl } from "./redaction.js";
import type { TransportResponse } from "./transport.js";

const MAX_REDIRECTS = 10;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface FollowedResponse extends TransportResponse {
  /** Where the answer came from in the end. */
  readonly url: URL;
}

/**
 * An exchange that goes where a GET or HEAD is sent on to, without `authorization` from the first change of origin on.
 * @throws {OciClientError} `redirect_refused`, and those of {@link exchange}
 */
export async function followRedirects(
  wire: Wire,
  request: ExchangeRequest,
  plainHttp: PlainHttp,
): Promise<FollowedResponse> {
  let current = request;
  for (let hops = 0; ; hops++) {
    const response = await exchange(wire, current);
    const isFollowed = REDIRECTS.has(response.status) && (request.method === "GET" || request.method === "HEAD");
    if (!isFollowed) return { ...response, url: current.url };
    await discard(response.body);
    if (hops === MAX_REDIRECTS)
      throw refused(request.act, current.url, `it redirects more than ${MAX_REDIRECTS} times`);
    const url = targetOf(response, current, plainHttp);
    const { authorization, ...headers } = current.headers;
    const isKept = authorization !== undefined && url.origin === current.url.origin;
    const isLed = current.isLed === true || url.host !== current.url.host;
    current = { ...current, url, isLed, headers: isKept ? { ...headers, authorization } : headers };
  }
}

function targetOf(response: TransportResponse, { url: from, act }: ExchangeRequest, plainHttp: PlainHttp): URL {
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, from.href)) throw refused(act, from, "it redirects to no address");
  const to = new URL(location, from);
  const refusal = refusalOf(from, to, plainHttp);
  if (refusal !== undefined) throw refused(act, from, `it redirects to ${showUrl(to)}: ${refusal}`);
  return to;
}

function refused(act: string, from: URL, state: string): OciClientError {
  return new OciClientError("redirect_refused", `cannot ${act}: ${from.origin} is not followed, ${state}`);
}
