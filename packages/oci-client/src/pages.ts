import { type CallOptions, MAX_DOCUMENT_BYTES } from "@lamella/refs";

import { readBody } from "./body.js";
import { OciClientError } from "./errors.js";
import { retry } from "./retry.js";
import type { Scope } from "./scope.js";
import type { Session } from "./session.js";
import type { ResponseHeaders } from "./transport.js";

/** More than any registry needs: a list without end is a mistake or an attack. */
const MAX_PAGES = 10_000;

export interface PageRequest {
  /** Below the repository, or an address of the registry. */
  readonly target: string | URL;
  /** Completes "cannot …" in messages. */
  readonly verb: string;
  readonly accept?: string;
  /** What a token must allow beside the repository. */
  readonly scopes?: readonly Scope[];
  /** The statuses that are an answer; only 200 has a body worth reading. */
  readonly statuses: readonly number[];
}

export interface Page {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly bytes: Uint8Array;
}

/**
 * Reads a list page by page, following `Link` with `rel="next"` as long as it stays at the registry (distribution-spec, "Listing Tags").
 * @throws {OciClientError} `protocol` for a link that leads elsewhere or in a circle of one, and for more than 10,000 pages
 */
export async function* readPages(
  session: Session,
  request: PageRequest,
  options: CallOptions,
): AsyncGenerator<Page, void, undefined> {
  let next: string | URL | undefined = request.target;
  for (let count = 0; next !== undefined; count++) {
    if (count === MAX_PAGES) throw broken(session, request, `the list has more than ${MAX_PAGES} pages`);
    const target: string | URL = next;
    const read = (): Promise<LinkedPage> => readPage(session, { ...request, target }, options);
    const page: LinkedPage = await retry(session.context.retry, read, options);
    yield page;
    next = page.link;
  }
}

/** The array under `name` of a page's document; null and absent count as empty. */
export function pageItems(session: Session, request: PageRequest, bytes: Uint8Array, name: string): unknown[] {
  let items: unknown;
  try {
    const document = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown> | null;
    items = (typeof document === "object" ? document?.[name] : undefined) ?? [];
  } catch {
    throw broken(session, request, "the answer is not JSON");
  }
  if (!Array.isArray(items)) throw broken(session, request, "the answer is not a list");
  return items;
}

interface LinkedPage extends Page {
  readonly link: URL | undefined;
}

async function readPage(session: Session, request: PageRequest, { signal }: CallOptions): Promise<LinkedPage> {
  const { accept, ...rest } = request;
  const { verb } = rest;
  const headers = accept === undefined ? {} : { accept };
  const response = await session.send({ method: "GET", headers, access: "pull", signal, ...rest });
  const bytes = await readBody(response.body, { limitBytes: MAX_DOCUMENT_BYTES, act: session.act(verb) });
  const link = response.status === 200 ? nextLink(session, request, response.headers, response.url) : undefined;
  return { status: response.status, headers: response.headers, bytes, link };
}

function nextLink(session: Session, request: PageRequest, headers: ResponseHeaders, base: URL): URL | undefined {
  const match = /<([^<>]{1,4096})>\s{0,8};[^,]{0,64}rel="?next"?/i.exec(headers.get("link") ?? "");
  if (match === null) return undefined;
  const [, target = ""] = match;
  const url = URL.canParse(target, base.href) ? new URL(target, base) : undefined;
  if (url?.origin !== session.registry.origin || url.username !== "" || url.href === base.href) {
    throw broken(session, request, "the next page is not at the same registry");
  }
  return url;
}

function broken(session: Session, { verb }: PageRequest, state: string): OciClientError {
  return new OciClientError("protocol", `cannot ${session.act(verb)}: ${state}`);
}
