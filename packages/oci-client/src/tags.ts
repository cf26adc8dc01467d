import { type CallOptions, isTag, MAX_DOCUMENT_BYTES } from "@lamella/refs";

import { readBody } from "./body.js";
import { OciClientError } from "./errors.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";

const PAGE_SIZE = 1000;
const MAX_PAGES = 10_000;
interface Page {
  readonly tags: readonly string[];
  readonly link: URL | undefined;
}

const VERB = "list the tags";

/** All tags of a repository, page by page (distribution-spec, "Listing Tags"). What is not a tag is passed over. */
export async function* listTags(session: Session, options: CallOptions): AsyncGenerator<string, void, undefined> {
  let next: string | URL | undefined = `tags/list?n=${PAGE_SIZE}`;
  for (let page = 0; next !== undefined; page++) {
    if (page === MAX_PAGES) throw broken(session, `the list has more than ${MAX_PAGES} pages`);
    const target: string | URL = next;
    const read = (): Promise<Page> => readPage(session, target, options);
    const { tags, link }: Page = await retry(session.context.retry, read, options);
    yield* tags;
    next = link;
  }
}

async function readPage(session: Session, target: string | URL, { signal }: CallOptions): Promise<Page> {
  const request = { method: "GET", target, verb: VERB, access: "pull", statuses: [200], signal } as const;
  const { body, headers, url } = await session.send(request);
  const bytes = await readBody(body, { limitBytes: MAX_DOCUMENT_BYTES, act: session.act(VERB) });
  return { tags: parseTags(session, bytes), link: nextLink(session, headers, url) };
}

function parseTags(session: Session, bytes: Uint8Array): string[] {
  let tags: unknown;
  try {
    tags = (JSON.parse(new TextDecoder().decode(bytes)) as { tags?: unknown } | null)?.tags ?? [];
  } catch {
    throw broken(session, "the answer is not JSON");
  }
  if (!Array.isArray(tags)) throw broken(session, "the answer is not a list");
  return tags.filter((tag) => typeof tag === "string" && isTag(tag));
}

function nextLink(session: Session, headers: Headers, base: URL): URL | undefined {
  const match = /<([^<>]{1,4096})>\s{0,8};[^,]{0,64}rel="?next"?/i.exec(headers.get("link") ?? "");
  if (match === null) return undefined;
  const [, target = ""] = match;
  const url = URL.canParse(target, base.href) ? new URL(target, base) : undefined;
  if (url?.origin !== session.registry.origin || url.username !== "" || url.href === base.href) {
    throw broken(session, "the next page is not at the same registry");
  }
  return url;
}

function broken(session: Session, state: string): OciClientError {
  return new OciClientError("protocol", `cannot ${session.act(VERB)}: ${state}`);
}
