import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { pushMade } from "./daemon-images.js";
import { startLamellad } from "./daemon-process.js";
import type { DaemonProcess } from "./daemon-process.js";
import { sendRaw } from "./raw-http.js";

const IMAGE = "localhost/app:v1";
const CANARY = "canary-7d1f0e-outside-of-the-store";
const INSIDE = "the image's own";
const TOKEN = "e2e-token-0123456789-abcdef";
const DIGEST = `sha256:${"0".repeat(64)}`;
/** They say nothing of the store. */
const OPEN = new Set(["/", "/assets/{path}", "/assets/{file}", "/assets/*", "/healthz", "/readyz"]);
const METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];

let work = "";
let canary = "";
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "lamella-daemon-guard-"));
  canary = join(work, "canary");
  writeFileSync(canary, `${CANARY}\n`);
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function pushSample(daemon: DaemonProcess): Promise<string> {
  const up = "../".repeat(12);
  const digest = await pushMade(`${daemon.host}/app:v1`, [
    [
      { path: "etc/passwd", bytes: Buffer.from(INSIDE) },
      { path: "upwards", target: `${up}etc/passwd` },
      { path: "absolute", target: "/etc/passwd" },
      { path: "canary", target: canary },
      { path: "above", target: `${up}${canary.slice(1)}` },
      { path: "root", target: "/" },
      { path: "itself", target: "itself" },
      { path: "proc-root", target: "/proc/self/root/etc/passwd" },
    ],
  ]);
  expect(await daemon.ended(IMAGE)).toMatchObject({ status: "ready", error: null });
  return digest;
}

/** Every file of a store with its size, but those of the database, which reading touches too. */
function filesOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => !path.startsWith("lamella.db"))
    .map((path) => [path, statSync(join(root, path))] as const)
    .filter(([, stat]) => stat.isFile())
    .map(([path, { size }]) => `${path} ${size}`)
    .sort();
}

describe("lamellad without its token", () => {
  const root = (): string => join(work, "guarded");
  let daemon: DaemonProcess;
  let key = "";
  let manifest = "";

  beforeAll(async () => {
    // filled before it is guarded: the clients of these tests know no token
    const open = await startLamellad({ root: root() });
    manifest = await pushSample(open);
    key = (await open.ended(IMAGE)).disks[0]!.key;
    await open.stop();
    const tokenFile = join(work, "token");
    writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
    daemon = await startLamellad({ root: root(), flags: ["--token-file", tokenFile] });
  });
  afterAll(() => daemon?.[Symbol.asyncDispose]());

  interface Request {
    readonly method: string;
    readonly path: string;
    readonly body?: string;
  }

  async function statusOf({ method, path, body }: Request, headers: Record<string, string>): Promise<number> {
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const init = { method, headers: { ...json, ...headers }, ...(body !== undefined && { body }) };
    const response = await fetch(daemon.url + path, init);
    await response.body?.cancel();
    return response.status;
  }

  const bearer = { Authorization: `Bearer ${TOKEN}` };

  /** Each operation of the document with parameters that mean something, every method at each of its paths, and the registry's. */
  async function requests(): Promise<Request[]> {
    const response = await fetch(`${daemon.url}/openapi.json`, { headers: bearer });
    const { paths } = (await response.json()) as { paths: Record<string, object> };
    const [image, digest] = [encodeURIComponent(IMAGE), encodeURIComponent(manifest)];
    const guarded = Object.keys(paths).filter((path) => !OPEN.has(path));
    const filled = guarded.flatMap((path) => [
      path
        .replace("{name}", image)
        .replace("{key}", key)
        .replace(/\{\w+\}/g, "x"),
      path
        .replace("{name}", digest)
        .replace("{key}", "0".repeat(64))
        .replace(/\{\w+\}/g, "x"),
    ]);
    const others = [
      "/openapi.json",
      "/metrics",
      "/images/",
      "//images",
      "/IMAGES",
      "/nothing",
      "/assets/../images",
      "/healthz/../images",
    ];
    const api = [...new Set([...filled, ...others])].flatMap((path) =>
      METHODS.map((method) => ({ method, path, ...(hasBody(method) && { body: bodyOf(path) }) })),
    );
    const registry = [
      "/v2/",
      "/v2/_catalog",
      "/v2/app/tags/list",
      "/v2/app/manifests/v1",
      `/v2/app/blobs/${manifest}`,
      `/v2/app/referrers/${manifest}`,
    ];
    const writes = [
      { method: "POST", path: `/v2/app/blobs/uploads/?mount=${manifest}&from=app` },
      { method: "POST", path: "/v2/app/blobs/uploads/" },
      { method: "PATCH", path: "/v2/app/blobs/uploads/x", body: "x" },
      { method: "PUT", path: `/v2/app/blobs/uploads/x?digest=${DIGEST}`, body: "x" },
      { method: "DELETE", path: "/v2/app/blobs/uploads/x" },
      { method: "PUT", path: "/v2/app/manifests/v2", body: "{}" },
      { method: "DELETE", path: "/v2/app/manifests/v1" },
    ];
    return [...api, ...registry.flatMap((path) => ["GET", "HEAD"].map((method) => ({ method, path }))), ...writes];
  }

  async function state(): Promise<object> {
    const paths = ["/images", "/usage", "/queue", "/nbd", "/snapshots", "/v2/_catalog", "/v2/app/tags/list"];
    const answers = await Promise.all(
      paths.map(async (path) => {
        const response = await fetch(daemon.url + path, { headers: bearer });
        expect([path, response.status]).toEqual([path, 200]);
        return [path, await response.json()] as const;
      }),
    );
    const { "/usage": usage, ...others } = Object.fromEntries(answers) as Record<string, object>;
    return { ...others, "/usage": { ...usage, free_bytes: 0 }, files: filesOf(root()) };
  }

  const strangers: Record<string, Record<string, string>> = {
    nothing: {},
    "another token": { Authorization: "Bearer e2e-token-0123456789-abcdeg" },
    "a part of it": { Authorization: `Bearer ${TOKEN.slice(0, -1)}` },
    "it and more": { Authorization: `Bearer ${TOKEN}x` },
    "an empty one": { Authorization: "Bearer " },
    "a wrong password": { Authorization: `Basic ${Buffer.from("lamella:wrong").toString("base64")}` },
    "it as a cookie": { Cookie: `token=${TOKEN}` },
  };

  it.each(Object.entries(strangers))("answers 401 to everything, and changes nothing, for %s", async (_, headers) => {
    const before = await state();
    const all = await requests();
    expect(all.length).toBeGreaterThan(100);
    const statuses = await Promise.all(all.map((request) => statusOf(request, headers)));
    const answered = all.map(({ method, path }, at) => `${method} ${path} ${statuses[at]}`);
    expect(answered.filter((answer) => !answer.endsWith(" 401"))).toEqual([]);
    expect(await state()).toEqual(before);
  });

  it("answers with it", async () => {
    for (const path of [
      "/images",
      `/images/${encodeURIComponent(IMAGE)}`,
      `/disks/${key}`,
      "/v2/",
      "/v2/app/manifests/v1",
    ]) {
      expect([path, await statusOf({ method: "GET", path }, bearer)]).toEqual([path, 200]);
    }
    const basic = { Authorization: `Basic ${Buffer.from(`anybody:${TOKEN}`).toString("base64")}` };
    const token = await fetch(`${daemon.url}/token?service=lamellad&scope=repository:app:pull`, { headers: basic });
    expect(token.status).toBe(200);
    const { token: short } = (await token.json()) as { token: string };
    const request = { method: "GET", path: "/v2/app/manifests/v1" };
    expect(await statusOf(request, { Authorization: `Bearer ${short}` })).toBe(200);
    expect(await statusOf({ method: "GET", path: "/images" }, { Authorization: `Bearer ${short}` })).toBe(401);
  });

  it("does not give it away", async () => {
    for (const path of ["/", "/assets/", "/healthz", "/readyz", "/nothing"]) {
      expect(await (await fetch(daemon.url + path)).text()).not.toContain(TOKEN);
    }
    expect(daemon.said).not.toContain(TOKEN);
  });
});

function hasBody(method: string): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH";
}

function bodyOf(path: string): string {
  if (path === "/images") return JSON.stringify({ name: "stolen:v1", from: IMAGE });
  if (path === "/gc") return JSON.stringify({ grace_seconds: 0 });
  if (path === "/check") return JSON.stringify({ repair: true });
  if (path.endsWith("/commit")) return JSON.stringify({ name: "stolen" });
  return path === "/snapshots" ? JSON.stringify({ key: "stolen" }) : "{}";
}

describe("names and paths that lamellad is asked for", () => {
  let daemon: DaemonProcess;
  beforeAll(async () => {
    daemon = await startLamellad({ root: join(work, "store") });
    await pushSample(daemon);
  });
  afterAll(() => daemon?.[Symbol.asyncDispose]());

  /** As they are in a request's first line: no client has tidied them up. */
  const tricks = (): string[] => {
    const outside = [
      "../canary",
      "../../canary",
      "..",
      ".",
      "../store/lamella.db",
      "../../../../../../../../etc/passwd",
      canary,
      "/etc/passwd",
    ];
    const forms = [
      (text: string) => text,
      (text: string) => encodeURIComponent(text),
      (text: string) => text.replaceAll(".", "%2e").replaceAll("/", "%2F"),
      (text: string) => text.replaceAll(".", "%252e").replaceAll("/", "%252F"),
      (text: string) => text.replaceAll("/", "%5C"),
      (text: string) => text.replaceAll(".", "%c0%ae").replaceAll("/", "%c0%af"),
      (text: string) => `${encodeURIComponent(text)}%00`,
      (text: string) => `app%00${encodeURIComponent(text)}`,
      (text: string) => `x%2F${encodeURIComponent(text)}`,
    ];
    const others = [
      "%00",
      "%0a",
      "%20",
      "%2F",
      "~root",
      "%24HOME",
      "sha256:..%2F..%2Fcanary",
      "a".repeat(5000),
      `${"a%2F".repeat(1000)}a`,
      "%F0%9F%90%B3",
    ];
    return [...outside.flatMap((text) => forms.map((form) => form(text))), ...others];
  };

  const places = (): readonly ((trick: string) => string)[] => {
    const image = `/images/${encodeURIComponent(IMAGE)}`;
    return [
      (trick) => `/images/${trick}`,
      (trick) => `/images/${trick}/layers`,
      (trick) => `${image}/files?path=${trick}`,
      (trick) => `${image}/file?path=${trick}`,
      (trick) => `${image}/file?layer=0&path=${trick}`,
      (trick) => `/disks/${trick}`,
      (trick) => `/snapshots/${trick}`,
      (trick) => `/assets/${trick}`,
      (trick) => `/${trick}`,
      (trick) => `/v2/${trick}/manifests/v1`,
      (trick) => `/v2/app/manifests/${trick}`,
      (trick) => `/v2/app/blobs/${trick}`,
      (trick) => `/v2/app/blobs/uploads/${trick}`,
    ];
  };

  function requireHarmless(what: string, text: string): void {
    for (const secret of [CANARY, "root:x:0:0", "SQLite format"]) {
      expect(text.includes(secret), `${what} gives ${secret}`).toBe(false);
    }
  }

  it("reach nothing outside of the store", async () => {
    const before = filesOf(work).filter((path) => !path.startsWith("store/"));
    const statuses = new Map<number, number>();
    for (const place of places()) {
      const paths = tricks().map(place);
      const head = "HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
      const answers = await Promise.all(paths.map((path) => sendRaw(daemon.port, `GET ${path} ${head}`)));
      for (const [at, { status = 0, text }] of answers.entries()) {
        requireHarmless(paths[at]!, text);
        expect(status, `${paths[at]}: ${text.slice(0, 500)}`).toBeLessThan(500);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    }
    console.log([...statuses].map(([status, count]) => `${count} times ${status}`).join(", "));
    expect(filesOf(work).filter((path) => !path.startsWith("store/"))).toEqual(before);
  });

  it("reach no file of this machine as an image's source", async () => {
    const sources = [
      "dir:/etc",
      `dir:${work}`,
      `docker-archive:${canary}`,
      `oci:${work}`,
      `oci-archive:${canary}`,
      `disk:${canary}`,
      `layer:${canary}`,
      `file://${canary}`,
      "../canary",
      canary,
    ];
    for (const name of sources) {
      for (const body of [{ name }, { name: "stolen:v1", from: name }]) {
        const answer = await post("/images", body);
        requireHarmless(JSON.stringify(body), answer.text);
        expect([body, answer.status]).toEqual([body, expect.toSatisfy(isRefusal)]);
      }
    }
    expect(await daemon.ask<object[]>("GET", "/images")).toHaveLength(1);
  });

  it("make snapshots only inside of the store", async () => {
    const before = filesOf(work).filter((path) => !path.startsWith("store/"));
    for (const key of [
      "../../canary",
      "..",
      "/etc/passwd",
      canary,
      "a\0b",
      "a".repeat(5000),
      "\u{1f433}",
      "a/../../b",
    ]) {
      const answer = await post("/snapshots", { key });
      requireHarmless(key, answer.text);
      expect(answer.status, answer.text).toBeLessThan(500);
    }
    expect(filesOf(work).filter((path) => !path.startsWith("store/"))).toEqual(before);
    expect(readFileSync(canary, "utf8")).toBe(`${CANARY}\n`);
  });

  it("follow an image's symlinks inside of the image alone", async () => {
    const file = async (path: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(
        `${daemon.url}/images/${encodeURIComponent(IMAGE)}/file?path=${encodeURIComponent(path)}`,
      );
      return { status: response.status, text: await response.text() };
    };
    expect(await file("etc/passwd")).toEqual({ status: 200, text: INSIDE });
    const links = [
      "upwards",
      "absolute",
      "canary",
      "above",
      "root",
      "root/etc/passwd",
      "itself",
      "itself/x",
      "proc-root",
      "root/root/upwards",
    ];
    for (const path of links) {
      const { status, text } = await file(path);
      requireHarmless(path, text);
      // a link is either followed inside of the image, or no file
      if (status === 200) expect([path, text]).toEqual([path, INSIDE]);
      else expect([path, status]).toEqual([path, expect.toSatisfy(isRefusal)]);
    }
  });

  async function post(path: string, body: object): Promise<{ status: number; text: string }> {
    const response = await fetch(daemon.url + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  }
});

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500;
}
