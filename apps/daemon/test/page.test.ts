import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { pageRoutes } from "../src/page.js";
import { temporaryDirectory } from "./fixture.js";

const BUILT = join(import.meta.dirname, "../dist/page");
const MOST_GZIP_BYTES = 40_000;

async function madePage(): Promise<{ routes: ReturnType<typeof pageRoutes>; path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  await mkdir(join(directory.path, "assets"));
  await writeFile(join(directory.path, "index.html"), "<!doctype html><title>a page</title>");
  await writeFile(join(directory.path, "assets/index-1a2b.js"), "export {};");
  await writeFile(join(directory.path, "secret.txt"), "not for everybody");
  const routes = pageRoutes([join(directory.path, "nowhere"), directory.path]);
  return { routes, path: directory.path, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

describe("the page", () => {
  it("is never kept, its assets for ever", async () => {
    await using page = await madePage();
    const document = await page.routes.request("/");
    expect([document.status, await document.text()]).toEqual([200, "<!doctype html><title>a page</title>"]);
    expect(document.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
    expect(document.headers.get("Cache-Control")).toBe("no-store");
    const script = await page.routes.request("/assets/index-1a2b.js");
    expect([script.status, await script.text()]).toEqual([200, "export {};"]);
    expect(script.headers.get("Content-Type")).toBe("text/javascript; charset=utf-8");
    expect(script.headers.get("Cache-Control")).toBe("public, max-age=31536000, immutable");
  });

  it.each(["/", "/assets/index-1a2b.js", "/assets/none.js"])("lets nothing of elsewhere into %s", async (path) => {
    await using page = await madePage();
    const { headers } = await page.routes.request(path);
    const policy = (headers.get("Content-Security-Policy") ?? "").split("; ");
    for (const rule of ["default-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"])
      expect(policy).toContain(rule);
    expect(policy.join()).not.toMatch(/unsafe|data:|blob:|https?:|\*/);
    expect(headers.get("X-Content-Type-Options")).toBe("nosniff");
  });

  it.each(["/assets/..%2fsecret.txt", "/assets/%2e%2e%2fsecret.txt", "/assets/none.js", "/assets/", "/secret.txt"])(
    "has nothing at %s",
    async (path) => {
      await using page = await madePage();
      const response = await page.routes.request(path);
      expect(response.status).toBe(404);
      expect(await response.text()).not.toContain("everybody");
    },
  );

  it("is missing where it was not built", async () => {
    await using directory = await temporaryDirectory();
    expect((await pageRoutes([directory.path]).request("/")).status).toBe(404);
  });

  it("is built small, of files of its own alone, without inline script or style", async () => {
    const routes = pageRoutes();
    const document = await (await routes.request("/")).text();
    expect(document).toBe(await readFile(join(BUILT, "index.html"), "utf8"));
    expect(document).not.toMatch(/<style|style=|<script(?![^>]* src=)|\son[a-z]+=/);
    const addresses = [...document.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address = ""]) => address);
    expect(addresses.length).toBeGreaterThan(2);
    let sizeBytes = gzipSync(document).length;
    for (const name of await readdir(join(BUILT, "assets"))) {
      expect(addresses).toContain(`./assets/${name}`);
      const answer = await routes.request(`/assets/${name}`);
      const text = await answer.text();
      expect(text).toBe(await readFile(join(BUILT, "assets", name), "utf8"));
      // the name spaces of SVG and MathML are no addresses
      expect(text.replaceAll(/http:\/\/www\.w3\.org\/(2000\/svg|1999\/xhtml|1998\/Math\/MathML)/g, "")).not.toMatch(
        /https?:\/\//,
      );
      expect(text).not.toMatch(/@font-face|@import|sourceMappingURL/);
      sizeBytes += gzipSync(text).length;
    }
    expect(sizeBytes).toBeLessThan(MOST_GZIP_BYTES);
  });
});
