import { digestOf, DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import { beforeEach, describe, expect, it } from "vitest";

import { createRegistry, createTokenAuthority, staticAccounts } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, chunksOf } from "./fixture.js";

const SERVICE = "registry.test";
const REALM = "http://registry.test/token";
const LOGIN = { username: "gordon", password: "pass:word" };

type Send = (method: string, path: string, init?: RequestInit) => Promise<Response>;

/** The registry and its token endpoint at one address, as docker meets them. */
function serve(): Send {
  const accounts = staticAccounts([LOGIN]);
  const secret = globalThis.crypto.getRandomValues(new Uint8Array(32));
  const authority = createTokenAuthority({ accounts, secret, service: SERVICE, realm: () => REALM });
  const registry = createRegistry({ storage: memoryStorage(), authorize: authority.authorize });
  return async (method, path, init = {}) => {
    const url = new URL(path, "http://registry.test");
    const request = new Request(url, { method, duplex: "half", ...init });
    return url.pathname === "/token" ? authority.answer(request) : registry(request);
  };
}

const basic = (): Record<string, string> => ({ Authorization: `Basic ${btoa(`${LOGIN.username}:${LOGIN.password}`)}` });

/** What docker reads of the challenge, and asks at the realm. */
async function getToken(send: Send, refused: Response, scopes: readonly string[]): Promise<string> {
  const challenge = refused.headers.get("WWW-Authenticate") ?? "";
  const [, realm = "", service = ""] = /^Bearer realm="([^"]*)",service="([^"]*)"/.exec(challenge) ?? [];
  const query = new URLSearchParams({ account: LOGIN.username, client_id: "docker", service });
  for (const scope of scopes) query.append("scope", scope);
  const response = await send("GET", `${realm}?${query.toString()}`, { headers: basic() });
  expect(response.status).toBe(200);
  const answer = (await response.json()) as { token: string; access_token: string; expires_in: number };
  expect(answer.access_token).toBe(answer.token);
  expect(answer.expires_in).toBeGreaterThanOrEqual(60);
  return answer.token;
}

describe("docker login", () => {
  it("is sent to the realm, and let in with the token from there", async () => {
    const send = serve();
    const refused = await send("GET", "/v2/");
    expect(refused.status).toBe(401);
    expect(refused.headers.get("WWW-Authenticate")).toBe(`Bearer realm="${REALM}",service="${SERVICE}"`);
    const token = await getToken(send, refused, []);
    expect((await send("GET", "/v2/", { headers: { Authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it("is let in by OAuth2's form, which it tries first since docker 1.11", async () => {
    const send = serve();
    const fields = { grant_type: "password", client_id: "docker", service: SERVICE, scope: "", ...LOGIN };
    const response = await send("POST", "/token", { body: new URLSearchParams(fields) });
    expect(response.status).toBe(200);
    const { access_token } = (await response.json()) as { access_token: string };
    expect((await send("GET", "/v2/", { headers: { Authorization: `Bearer ${access_token}` } })).status).toBe(200);
  });

  it("fails with a wrong password", async () => {
    const send = serve();
    const wrong = { Authorization: `Basic ${btoa(`${LOGIN.username}:password`)}` };
    expect((await send("GET", `/token?service=${SERVICE}`, { headers: wrong })).status).toBe(401);
  });
});

describe("docker push", () => {
  let send: Send;

  beforeEach(async () => {
    const open = serve();
    const refused = await open("GET", "/v2/");
    const scopes = ["repository:team/app:pull,push", "repository:team/base:pull,push"];
    const token = await getToken(open, refused, scopes);
    send = async (method, path, init = {}) =>
      open(method, path, { ...init, headers: { ...(init.headers as object), Authorization: `Bearer ${token}` } });
  });

  /** The requests of one layer, as Distribution's client makes them, and what it reads of their answers. */
  async function pushLayer(bytes: Uint8Array, from?: string): Promise<Digest> {
    const digest = digestOf(bytes);
    expect((await send("HEAD", `/v2/team/app/blobs/${digest}`)).status).toBe(404);
    const query = from === undefined ? "" : `?from=${encodeURIComponent(from)}&mount=${encodeURIComponent(digest)}`;
    const begun = await send("POST", `/v2/team/app/blobs/uploads/${query}`);
    expect(begun.status).toBe(202);
    const id = begun.headers.get("Docker-Upload-UUID");
    expect(id).toMatch(/^[\w-]+$/);

    const patched = await send("PATCH", begun.headers.get("Location") ?? "", {
      body: ReadableStream.from(chunksOf(bytes.subarray(0, 3), bytes.subarray(3))),
      headers: {},
    });
    expect(patched.status).toBe(202);
    expect(patched.headers.get("Docker-Upload-UUID")).toBe(id);
    expect(patched.headers.get("Range")).toBe(`0-${bytes.length - 1}`);

    const location = new URL(patched.headers.get("Location") ?? "", "http://registry.test");
    location.searchParams.set("digest", digest);
    const put = await send("PUT", location.href, { headers: { "Content-Length": "0" } });
    expect(put.status).toBe(201);
    expect(put.headers.get("Docker-Content-Digest")).toBe(digest);

    const head = await send("HEAD", `/v2/team/app/blobs/${digest}`);
    expect([head.status, head.headers.get("Content-Length")]).toEqual([200, String(bytes.length)]);
    return digest;
  }

  it("streams layers without a length, then the config, then the manifest", async () => {
    const [layer, config] = [bytesOf("a compressed layer"), bytesOf('{"os":"linux"}')];
    await pushLayer(layer, "team/base");
    await pushLayer(config);
    const describe = (mediaType: string, bytes: Uint8Array): object => {
      return { mediaType, size: bytes.length, digest: digestOf(bytes) };
    };
    const manifest = bytesOf(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: DOCKER_MANIFEST,
        config: describe(DOCKER_CONFIG, config),
        layers: [describe(DOCKER_LAYER_GZIP, layer)],
      }),
    );
    const put = await send("PUT", "/v2/team/app/manifests/latest", {
      body: manifest,
      headers: { "Content-Type": DOCKER_MANIFEST },
    });
    expect([put.status, put.headers.get("Docker-Content-Digest")]).toEqual([201, digestOf(manifest)]);
    const pulled = await send("GET", "/v2/team/app/manifests/latest", { headers: { Accept: DOCKER_MANIFEST } });
    expect(new Uint8Array(await pulled.arrayBuffer())).toEqual(manifest);
  });

  it("sends nothing of a layer that another repository lends", async () => {
    const layer = bytesOf("of the base image");
    const digest = digestOf(layer);
    await send("POST", `/v2/team/base/blobs/uploads/?digest=${digest}`, { body: layer });
    const mounted = await send("POST", `/v2/team/app/blobs/uploads/?from=team%2Fbase&mount=${digest}`);
    expect(mounted.status).toBe(201);
    expect(mounted.headers.get("Docker-Content-Digest")).toBe(digest);
    expect(mounted.headers.get("Location")).toBe(`/v2/team/app/blobs/${digest}`);
  });
});
