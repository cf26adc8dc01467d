import { quote } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { CATALOG, TAGS } from "./endpoints.js";
import { RegistryError } from "./errors.js";
import { jsonResponse } from "./json-response.js";
import type { Service } from "./service.js";
import type { Page } from "./storage.js";

/** Names in one answer, whatever `n` is: the rest is behind the `Link` header. */
const PAGE_MAX = 1000;

/** Tags (OCI distribution-spec 1.1, end-8) and repositories (`_catalog`, as Docker's registry has it). */
export function addListingRoutes(app: Hono, { gate, manifests }: Service): void {
  app.get(CATALOG, async (c) => {
    await gate.enter(c, { type: "registry", name: "catalog", actions: ["*"] });
    const page = pageOf(c);
    const { names, headers } = cut(c, page, await manifests.repositories(page));
    return jsonResponse({ repositories: names }, { headers });
  });
  app.get(TAGS, async (c) => {
    const name = await gate.repository(c, "pull");
    const page = pageOf(c);
    const found = await manifests.tags(name, page);
    if (found === undefined) {
      throw new RegistryError("name_unknown", `cannot list tags of ${quote(name)}: no such repository`);
    }
    const { names, headers } = cut(c, page, found);
    return jsonResponse({ name, tags: names }, { headers });
  });
}

/** One name more than is shown tells whether a next page exists. */
function pageOf(c: Context): Page {
  const text = c.req.query("n");
  if (text !== undefined && !/^\d+$/.test(text)) {
    throw new RegistryError("page_invalid", `cannot list: n is ${quote(text)}, not a count`);
  }
  const count = Math.min(Number(text ?? PAGE_MAX), PAGE_MAX);
  return { after: c.req.query("last"), limit: count + 1, signal: c.req.raw.signal };
}

interface Cut {
  readonly names: readonly string[];
  readonly headers: Record<string, string>;
}

function cut(c: Context, page: Page, found: readonly string[]): Cut {
  const names = found.slice(0, page.limit - 1);
  const last = names.at(-1);
  if (last === undefined || found.length < page.limit) return { names, headers: {} };
  const query = new URLSearchParams({ n: String(names.length), last });
  return { names, headers: { Link: `<${new URL(c.req.url).pathname}?${query.toString()}>; rel="next"` } };
}
