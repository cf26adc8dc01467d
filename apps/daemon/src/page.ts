import { readFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";

import { Hono } from "hono";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** No script, style, frame or request but the daemon's own; text never becomes markup, even by a mistake of the page. */
const POLICY = [
  "default-src 'self'",
  "base-uri 'none'",
  "object-src 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Its name has a hash of what is in it. */
const FOREVER = "public, max-age=31536000, immutable";

interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
}

/** Where the page lies: beside the bundle, above its chunks, or, for what runs unbundled, where the build puts it. */
const DIRECTORIES = ["page", "../dist/page", "../page"].map((path) => join(import.meta.dirname, path));

/** `GET /` and `GET /assets/*`: the page, which needs no token, since all that it shows it asks the API for. 404 where it was not built. */
export function pageRoutes(directories: readonly string[] = DIRECTORIES): Hono {
  const app = new Hono();
  let files: Promise<ReadonlyMap<string, PageFile>> | undefined;
  const answer = async (path: string): Promise<Response> => {
    const file = (await (files ??= readPage(directories))).get(path);
    if (file === undefined) return new Response("no such page\n", { status: 404, headers: HEADERS });
    const headers = { "Content-Type": file.type, "Cache-Control": path === "/" ? "no-store" : FOREVER };
    return new Response(file.body, { headers: { ...HEADERS, ...headers } });
  };
  app.get("/", async () => answer("/"));
  app.get("/assets/:name", async (c) => answer(`/assets/${c.req.param("name")}`));
  return app;
}

/** The files by the paths that they are asked for: whatever a request names, nothing else is read. */
async function readPage(directories: readonly string[]): Promise<ReadonlyMap<string, PageFile>> {
  for (const directory of directories) {
    const assets = await readdir(join(directory, "assets")).catch(nothingThere);
    if (assets === undefined) continue;
    const paths = assets.map((name) => ({ path: `/assets/${name}`, file: join(directory, "assets", name) }));
    const all = [{ path: "/", file: join(directory, "index.html") }, ...paths];
    return new Map(await Promise.all(all.map(async ({ path, file }) => [path, await readPageFile(file)] as const)));
  }
  return new Map();
}

async function readPageFile(file: string): Promise<PageFile> {
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  return { body: new Uint8Array(await readFile(file)), type };
}

function nothingThere(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
