import { type CallOptions, isTag } from "@lamella/refs";

import { pageItems, type PageRequest, readPages } from "./pages.js";
import type { Session } from "./session.js";

const PAGE_SIZE = 1000;

/** How a list is read (distribution-spec, "Listing Tags"). */
export interface ListOptions extends CallOptions {
  /** How many a page shall have; the registry may give fewer. Default: 1000. */
  pageSize?: number | undefined;
  /** Only what the registry lists after this one. */
  last?: string | undefined;
}

/** All tags of a repository, page by page (distribution-spec, "Listing Tags"). What is not a tag is passed over. */
export async function* listTags(session: Session, options: ListOptions): AsyncGenerator<string, void, undefined> {
  const target = `tags/list?${listQuery(options)}`;
  const request: PageRequest = { target, verb: "list the tags", statuses: [200] };
  for await (const { bytes } of readPages(session, request, options)) {
    const tags = pageItems(session, request, bytes, "tags");
    yield* tags.filter((tag): tag is string => typeof tag === "string" && isTag(tag));
  }
}

export function listQuery({ pageSize = PAGE_SIZE, last }: ListOptions): string {
  const query = new URLSearchParams({ n: String(pageSize) });
  if (last !== undefined) query.set("last", last);
  return query.toString();
}
