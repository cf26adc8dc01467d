import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { bytesToByteString, byteString } from "@lamella/layer-format";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { addBrowseRoutes } from "../src/api/browse.js";
import type { z } from "@hono/zod-openapi";
import type { Files, Layers } from "../src/api/schemas.js";
import type { TarEntry } from "./sample-images.js";
import { leasesOf, pushImage, serveStore, symlink } from "./store-fixture.js";
import type { ServedStore } from "./store-fixture.js";

type FilesDocument = z.infer<typeof Files>;

const HTML = "<img src=x onerror=alert(1)>";
const BIDI = byteString("a\u202eb\n\x1b[31m");
const INVALID = bytesToByteString(Uint8Array.of(0xff, 0x2f, 0xfe)).replace("/", "-");

const BASE: readonly TarEntry[] = [
  { path: "etc/hosts", text: "12345" },
  { path: "etc/motd", text: "hello\n" },
  { path: "etc/100%", text: "all" },
  { path: HTML, text: "html" },
  { path: BIDI, text: "bidi" },
  { path: INVALID, text: "bytes" },
  symlink("bin", "usr/bin"),
  { path: "usr/bin/tool", text: "tool" },
  symlink("usr/bin/up", "../../../../etc/motd"),
  symlink("usr/bin/host", "/etc/passwd"),
  symlink("loop", "loop"),
];
const APP: readonly TarEntry[] = [
  { path: "etc/hosts", text: "12" },
  { path: "etc/motd", kind: "whiteout" },
  { path: "opt/new", text: "new", mtimeSeconds: -1e12 },
];
const HISTORY = [
  { created_by: "ADD <b>base</b>" },
  { created_by: "ENV x=y", empty_layer: true },
  { created_by: "COPY app" },
];

type Get = (path: string, init?: RequestInit) => Promise<Response>;

const NAME = "docker.io/library/app:v1";

async function serveImage(): Promise<ServedStore & { get: Get }> {
  const served = await serveStore();
  await pushImage(served.store, NAME, [BASE, APP], HISTORY);
  const api = served.serve(addBrowseRoutes);
  const get: Get = async (path, init) => api.request(`/images/${encodeURIComponent(NAME)}/${path}`, init);
  return Object.assign(served, { get });
}

let shared: ServedStore & { get: Get };
beforeAll(async () => {
  shared = await serveImage();
});
afterAll(async () => shared[Symbol.asyncDispose]());

/** With an image that stays as it is. */
async function browsing(use: (get: Get, served: ServedStore) => Promise<void>): Promise<void> {
  await use(shared.get, shared);
}

/** With one of its own. */
async function browsingAlone(use: (get: Get, served: ServedStore) => Promise<void>): Promise<void> {
  await using served = await serveImage();
  await use(served.get, served);
}

function query(values: Readonly<Record<string, string | number>>): string {
  return new URLSearchParams(
    Object.entries(values).map(([name, value]): [string, string] => [name, `${value}`]),
  ).toString();
}

describe("GET /images/{name}/layers", () => {
  it("tells what each layer adds, changes, removes and wastes, with the step that made it", () =>
    browsing(async (get) => {
      const answer = await get("layers");
      expect(answer.status).toBe(200);
      const { layers, ...sums } = (await answer.json()) as z.infer<typeof Layers>;
      expect(
        layers.map(({ index, created_by, added, changed, removed, wasted_bytes }) => ({
          index,
          created_by,
          added,
          changed,
          removed,
          wasted_bytes,
        })),
      ).toEqual([
        {
          index: 0,
          created_by: "ADD <b>base</b>",
          added: { files: 11, bytes: 31 },
          changed: { files: 0, bytes: 0 },
          removed: { files: 0, bytes: 0 },
          wasted_bytes: 11,
        },
        {
          index: 1,
          created_by: "COPY app",
          added: { files: 1, bytes: 3 },
          changed: { files: 1, bytes: 2 },
          removed: { files: 1, bytes: 6 },
          wasted_bytes: 0,
        },
      ]);
      expect(sums).toEqual({ content_bytes: 36, wasted_bytes: 11, efficiency: 25 / 36 });
    }));

  it("answers 404 for an image that there is not", () =>
    browsing(async (_, { serve }) => {
      const answer = await serve(addBrowseRoutes).request("/images/none/layers");
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([404, "not_found"]);
    }));
});

describe("GET /images/{name}/files", () => {
  async function files(
    get: (path: string) => Promise<Response>,
    values: Readonly<Record<string, string | number>>,
  ): Promise<FilesDocument> {
    const answer = await get(`files?${query(values)}`);
    expect(answer.status).toBe(200);
    return (await answer.json()) as FilesDocument;
  }

  it("lists a directory of the whole image, with the layer that each name is of", () =>
    browsing(async (get) => {
      const { entries, next } = await files(get, { path: "/etc/" });
      expect(next).toBeNull();
      expect(
        entries.map(({ name, path, change, layer, size_bytes }) => [name, path, change, layer, size_bytes]),
      ).toEqual([
        ["100%", "etc/100%25", "unchanged", 0, 3],
        ["hosts", "etc/hosts", "unchanged", 1, 2],
      ]);
    }));

  it("shows what a layer changes, what it removes among it", () =>
    browsing(async (get) => {
      const changes = async (path: string, layer: number): Promise<string[]> =>
        (await files(get, { path, layer })).entries.map((entry) => `${entry.change} ${entry.path}`);
      expect(await changes("", 1)).toEqual(["changed etc", "added opt"]);
      expect(await changes("etc", 1)).toEqual(["changed etc/hosts", "removed etc/motd"]);
      expect(await changes("usr", 1)).toEqual([]);
      expect(await changes("usr", 0)).toEqual(["added usr/bin"]);
      const [entry] = (await files(get, { path: "opt", layer: 1 })).entries;
      expect(entry?.mtime).toBe("0000-01-01T00:00:00.000Z");
    }));

  it("escapes names for people, and takes for each its path again, whatever its bytes are", () =>
    browsing(async (get) => {
      const { entries } = await files(get, {});
      const names = entries.map(({ name }) => name);
      expect(names).toContain(HTML);
      expect(names).toContain("a\\u{202e}b\\n\\x1b[31m");
      expect(names).toContain("\\xff-\\xfe");
      expect(entries.find(({ name }) => name.startsWith("\\xff"))?.path).toBe("%FF-%FE");
      for (const entry of entries) {
        const again = await files(get, { path: entry.path });
        if (entry.kind !== "directory") expect(again.entries).toEqual([entry]);
        else expect(again.path).toBe(entry.path);
      }
    }));

  it("follows links on the way within the image, and shows one at the end", () =>
    browsing(async (get) => {
      expect((await files(get, { path: "bin/tool" })).entries.map(({ path }) => path)).toEqual(["usr/bin/tool"]);
      const link = await files(get, { path: "bin" });
      expect(link.entries.map(({ kind, link_target }) => [kind, link_target])).toEqual([["symlink", "usr/bin"]]);
      expect((await files(get, { path: "bin/../../../../etc" })).path).toBe("etc");
      expect((await get("files?path=loop/x")).status).toBe(404);
      expect((await get("files?path=../../../../etc/passwd")).status).toBe(404);
    }));

  it("gives a long directory in pages", () =>
    browsing(async (get) => {
      const whole = (await files(get, {})).entries.map(({ path }) => path);
      const paged: string[] = [];
      let after: string | null = "";
      let pages = 0;
      do {
        const { entries, next }: FilesDocument = await files(get, { limit: 2, ...(after === "" ? {} : { after }) });
        paged.push(...entries.map(({ path }) => path));
        after = next;
        pages++;
      } while (after !== null);
      expect(paged).toEqual(whole);
      expect(pages).toBe(Math.ceil(whole.length / 2));
    }));

  it("refuses a layer that there is not, and a path that is none", () =>
    browsing(async (get) => {
      expect((await get("files?layer=2")).status).toBe(404);
      expect((await get("files?layer=-1")).status).toBe(400);
      expect((await get(`files?${query({ path: "100%" })}`)).status).toBe(400);
      expect((await get("files?path=none")).status).toBe(404);
    }));
});

describe("GET /images/{name}/file", () => {
  it("sends a file to be saved, never to be shown", () =>
    browsing(async (get) => {
      const answer = await get(`file?${query({ path: HTML })}`);
      expect(await answer.text()).toBe("html");
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        "content-type": "application/octet-stream",
        "content-length": "4",
        "x-content-type-options": "nosniff",
        "content-disposition": `attachment; filename="_img_src_x_onerror_alert_1__"; filename*=UTF-8''${encodeURIComponent(HTML).replaceAll("(", "%28").replaceAll(")", "%29")}`,
      });
    }));

  it("sends it in parts, and not at all to who has it", () =>
    browsing(async (get) => {
      const path = `file?${query({ path: "etc/100%25" })}`;
      const part = await get(path, { headers: { Range: "bytes=1-" } });
      expect([part.status, await part.text(), part.headers.get("Content-Range")]).toEqual([206, "ll", "bytes 1-2/3"]);
      const tag = part.headers.get("ETag")!;
      expect((await get(path, { headers: { "If-None-Match": tag } })).status).toBe(304);
      expect((await get(`file?${query({ path: "etc/hosts" })}`)).headers.get("ETag")).not.toBe(tag);
      const head = await get(path, { method: "HEAD" });
      expect([head.status, head.headers.get("Content-Length"), await head.text()]).toEqual([200, "3", ""]);
    }));

  it("sends it as it is with a layer on top", () =>
    browsing(async (get) => {
      const text = async (values: Record<string, string | number>): Promise<string> =>
        (await get(`file?${query(values)}`)).text();
      expect(await text({ path: "etc/hosts" })).toBe("12");
      expect(await text({ path: "etc/hosts", layer: 1 })).toBe("12");
      expect(await text({ path: "etc/hosts", layer: 0 })).toBe("12345");
      expect(await text({ path: "etc/motd", layer: 0 })).toBe("hello\n");
      expect((await get("file?path=etc/motd")).status).toBe(404);
    }));

  it("follows links within the image, and to nowhere else", () =>
    browsing(async (get) => {
      expect(await (await get("file?path=usr/bin/up&layer=0")).text()).toBe("hello\n");
      // this machine has such a file
      expect((await get("file?path=usr/bin/host")).status).toBe(404);
      expect((await get("file?path=loop")).status).toBe(404);
      expect((await get("file?path=etc")).status).toBe(400);
    }));

  it("finds bytes that are no UTF-8, also where the query has them as they are", () =>
    browsing(async (get) => {
      expect(await (await get("file?path=%25FF-%25FE")).text()).toBe("bytes");
      expect(await (await get("file?path=%FF-%FE")).text()).toBe("bytes");
    }));
});

describe("an image that is looked into", () => {
  it("gets the layer archives that it lacks, which are held until it is closed", () =>
    browsingAlone(async (get, { root, store, context }) => {
      expect(await readdir(join(root, "layers")).catch(() => [])).toEqual([]);
      expect((await get("layers")).status).toBe(200);
      expect((await readdir(join(root, "layers"))).length).toBe(2);
      expect(await leasesOf(store)).toEqual([expect.stringMatching(/^look into sha256:/)]);
      await store.untag("docker.io/library/app:v1");
      expect((await store.gc({ graceMs: 0 })).totals.layer.count).toBe(0);
      expect((await get("files?path=etc")).status).toBe(404);
      await context.openImages[Symbol.asyncDispose]();
      expect(await leasesOf(store)).toEqual([]);
      expect((await store.gc({ graceMs: 0 })).totals.layer.count).toBe(2);
    }));

  it("gives back what an answer held, whatever the answer was", () =>
    browsingAlone(async (get, { context }) => {
      for (const path of ["layers", "files", "files?path=none", "file?path=etc", "file?path=none", "files?layer=9"])
        await get(path);
      await (await get("file?path=etc/hosts")).body?.cancel();
      await get("file?path=etc/hosts", { method: "HEAD" });
      expect(context.openImages.inUse).toBe(0);
    }));
});
