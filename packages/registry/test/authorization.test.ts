import { digestOf } from "@lamella/refs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  createBasicAuthority,
  createRegistry,
  createTokenAuthority,
  equalSecrets,
  staticAccounts,
} from "../src/index.js";
import type { Access, Authorize, Login, Registry, TokenAuthority, TokenAuthorityOptions } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, request } from "./fixture.js";

const KEEPER = { username: "keeper", password: "swordfish" };
const READER = { username: "reader", password: "looking", actions: ["pull"] as const };
const SECRET = new Uint8Array(32).fill(7);
const REALM = "https://registry.test/token";
const DIGEST = digestOf(bytesOf("x"));

const basic = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${btoa(`${username}:${password}`)}`;

function authorityWith(options: Partial<TokenAuthorityOptions> = {}): TokenAuthority {
  const accounts = staticAccounts([KEEPER, READER]);
  return createTokenAuthority({ accounts, secret: SECRET, service: "test", realm: () => REALM, ...options });
}

async function tokenFor(authority: TokenAuthority, login: Login, ...scopes: string[]): Promise<string> {
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ["scope", scope]));
  const headers = { Authorization: basic(login) };
  const response = await authority.answer(new Request(`${REALM}?${query.toString()}`, { headers }));
  return ((await response.json()) as { token: string }).token;
}

/** Every kind of request, and what it wants. */
const REQUESTS: readonly (readonly [method: string, path: string, scope: string])[] = [
  ["GET", "/v2/_catalog", "registry:catalog:*"],
  ["GET", "/v2/a/b/tags/list", "repository:a/b:pull"],
  ["GET", `/v2/a/b/blobs/${DIGEST}`, "repository:a/b:pull"],
  ["HEAD", `/v2/a/b/blobs/${DIGEST}`, "repository:a/b:pull"],
  ["DELETE", `/v2/a/b/blobs/${DIGEST}`, "repository:a/b:delete"],
  ["POST", "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"],
  ["POST", "/v2/a/b/blobs/uploads", "repository:a/b:pull,push"],
  ["POST", `/v2/a/b/blobs/uploads/?digest=${DIGEST}`, "repository:a/b:pull,push"],
  ["POST", `/v2/a/b/blobs/uploads/?mount=${DIGEST}`, "repository:a/b:pull,push"],
  ["GET", "/v2/a/b/blobs/uploads/1", "repository:a/b:pull,push"],
  ["PATCH", "/v2/a/b/blobs/uploads/1", "repository:a/b:pull,push"],
  ["PUT", `/v2/a/b/blobs/uploads/1?digest=${DIGEST}`, "repository:a/b:pull,push"],
  ["DELETE", "/v2/a/b/blobs/uploads/1", "repository:a/b:pull,push"],
  ["GET", "/v2/a/b/manifests/v1", "repository:a/b:pull"],
  ["HEAD", "/v2/a/b/manifests/v1", "repository:a/b:pull"],
  ["PUT", "/v2/a/b/manifests/v1", "repository:a/b:pull,push"],
  ["DELETE", "/v2/a/b/manifests/v1", "repository:a/b:delete"],
  ["GET", `/v2/a/b/referrers/${DIGEST}`, "repository:a/b:pull"],
];

/** A registry whose storage must not be reached. */
function untouchable(authorize: Authorize): Registry {
  const untouched = new Proxy({}, { get: () => () => expect.unreachable("the storage was asked") });
  const blobs = { ...memoryStorage().blobs, stat: () => expect.unreachable("a blob was asked for") };
  return createRegistry({ storage: { blobs, uploads: untouched as never, manifests: untouched as never }, authorize });
}

describe("a registry with tokens", () => {
  const { authorize } = authorityWith();

  it.each(REQUESTS)("asks for a token for %s %s before it looks anything up", async (method, path, scope) => {
    const response = await untouchable(authorize)(request(method, path));
    expect(response.status).toBe(401);
    const challenge = `Bearer realm="${REALM}",service="test",scope="${scope}"`;
    expect(response.headers.get("WWW-Authenticate")).toBe(challenge);
    if (method === "HEAD") return;
    expect(await response.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
  });

  it("asks for a token for /v2 too", async () => {
    for (const path of ["/v2", "/v2/"]) expect((await untouchable(authorize)(request("GET", path))).status).toBe(401);
  });

  it("leaves a body unread that it does not take", async () => {
    let pulled = 0;
    const body = new ReadableStream({ pull: () => void pulled++ }, { highWaterMark: 0 });
    const response = await untouchable(authorize)(request("PUT", "/v2/a/manifests/v1", { body }));
    expect([response.status, pulled]).toEqual([401, 0]);
  });

  it("takes a token for what it was given for, and asks for one for the rest", async () => {
    const authority = authorityWith();
    const registry = createRegistry({ storage: memoryStorage(), authorize: authority.authorize });
    const token = await tokenFor(authority, KEEPER, "repository:a:pull", "repository:b:pull,push");
    const status = async (method: string, path: string): Promise<number> =>
      (await registry(request(method, path, { headers: { Authorization: `Bearer ${token}` } }))).status;
    expect(await status("GET", "/v2/")).toBe(200);
    expect(await status("GET", "/v2/a/tags/list")).toBe(404);
    expect(await status("POST", "/v2/a/blobs/uploads/")).toBe(401);
    expect(await status("POST", "/v2/b/blobs/uploads/")).toBe(202);
    expect(await status("DELETE", "/v2/b/manifests/v1")).toBe(401);
    expect(await status("GET", "/v2/c/tags/list")).toBe(401);
    expect(await status("GET", "/v2/_catalog")).toBe(401);
  });

  it("says that a token is for too little, so that its client gets another", async () => {
    const authority = authorityWith();
    const headers = { Authorization: `Bearer ${await tokenFor(authority, READER, "repository:a:pull,push")}` };
    const response = await untouchable(authority.authorize)(request("POST", "/v2/a/blobs/uploads/", { headers }));
    expect(response.headers.get("WWW-Authenticate")).toMatch(
      /scope="repository:a:pull,push",error="insufficient_scope"$/,
    );
  });

  it("mounts only from where its client may pull, and lets it push elsewhere", async () => {
    const authority = authorityWith();
    const registry = createRegistry({ storage: memoryStorage(), authorize: authority.authorize });
    const token = await tokenFor(authority, KEEPER, "repository:a:pull,push", "repository:b:pull");
    const post = (query: string): Promise<Response> => {
      const headers = { Authorization: `Bearer ${token}` };
      return registry(request("POST", `/v2/a/blobs/uploads/?${query}`, { headers }));
    };
    for (const name of ["b", "c"]) {
      const headers = { Authorization: basic(KEEPER) };
      const path = `/v2/${name}/blobs/uploads/?digest=${DIGEST}`;
      expect((await registry(request("POST", path, { headers, body: bytesOf("x") }))).status).toBe(201);
    }
    expect((await post(`mount=${DIGEST}`)).status).toBe(202);
    expect((await post(`mount=${DIGEST}&from=c`)).status).toBe(202);
    expect((await post(`mount=${DIGEST}&from=..%2Fc`)).status).toBe(202);
    expect((await post(`mount=${DIGEST}&from=b`)).status).toBe(201);
  });

  it("takes a name and a password as they are", async () => {
    const { authorize: decide } = authorityWith();
    const wanted: Access = { type: "repository", name: "a", actions: ["pull", "push"] };
    const ask = (login: Login): ReturnType<Authorize> =>
      decide(request("GET", "/v2/", { headers: { Authorization: basic(login) } }), wanted);
    expect(await ask(KEEPER)).toBeUndefined();
    expect(await ask(READER)).toEqual({ code: "denied" });
    expect(await ask({ ...KEEPER, password: "sword" })).toMatchObject({ code: "unauthorized" });
  });

  it("answers what is known and not allowed with 403", async () => {
    const headers = { Authorization: basic(READER) };
    const response = await untouchable(authorize)(request("DELETE", "/v2/a/manifests/v1", { headers }));
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ errors: [{ code: "DENIED" }] });
  });
});

describe("createTokenAuthority()", () => {
  const wanted: Access = { type: "repository", name: "a", actions: ["pull"] };
  const withToken = (token: string): Request =>
    request("GET", "/v2/", { headers: { Authorization: `Bearer ${token}` } });

  it("refuses its own token once that is over", async () => {
    let nowMs = 1_000_000;
    const authority = authorityWith({ lifeSeconds: 60, now: () => nowMs });
    const token = await tokenFor(authority, KEEPER, "repository:a:pull");
    nowMs += 59_000;
    expect(await authority.authorize(withToken(token), wanted)).toBeUndefined();
    nowMs += 1000;
    expect(await authority.authorize(withToken(token), wanted)).toMatchObject({
      challenge: expect.stringContaining('error="invalid_token"'),
    });
  });

  it("refuses the tokens of another secret and of another service", async () => {
    for (const other of [{ secret: new Uint8Array(32).fill(8) }, { service: "other" }]) {
      const token = await tokenFor(authorityWith(other), KEEPER, "repository:a:pull");
      expect(await authorityWith().authorize(withToken(token), wanted)).toMatchObject({ code: "unauthorized" });
    }
  });

  it("refuses a token of which anything was changed", async () => {
    const authority = authorityWith();
    const token = await tokenFor(authority, READER, "repository:a:pull");
    const letters = fc.constantFrom("A", "B", "a", "z", "0", "9", "-", "_", ".", "=");
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), letters, async (at, letter) => {
        fc.pre(token[at] !== letter);
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        expect(await authority.authorize(withToken(changed), wanted)).toMatchObject({ code: "unauthorized" });
      }),
      { numRuns: 200 },
    );
  });

  it("refuses a token that says that it needs no signature", async () => {
    const authority = authorityWith();
    const [, body] = (await tokenFor(authority, KEEPER, "repository:a:pull")).split(".");
    const header = btoa('{"typ":"JWT","alg":"none"}').replaceAll("=", "");
    for (const token of [`${header}.${body}.`, `${header}.${body}.AA`, `${header}.${body}`, "..", "x"]) {
      expect(await authority.authorize(withToken(token), wanted)).toMatchObject({ code: "unauthorized" });
    }
  });

  it("gives less than what was asked for without an error, and nothing that it does not know", async () => {
    const authority = authorityWith();
    const query = new URLSearchParams([
      ["scope", "repository:a:pull,push repository:a:delete"],
      ["scope", "repository:../a:pull"],
      ["scope", "repository(plugin):b:pull,burn"],
      ["scope", "galaxy:c:pull"],
    ]);
    const headers = { Authorization: basic(READER) };
    const response = await authority.answer(new Request(`${REALM}?${query.toString()}`, { headers }));
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(await response.json()).toMatchObject({ scope: "repository:a:pull repository:b:pull", expires_in: 300 });
  });

  it("gives nobody in particular what everybody may do, and nothing else", async () => {
    const accounts = staticAccounts([KEEPER], { anonymous: ["pull"] });
    const authority = authorityWith({ accounts });
    const ask = async (scope: string): Promise<Response> => authority.answer(new Request(`${REALM}?scope=${scope}`));
    const { token } = (await (await ask("repository:a:pull,push")).json()) as { token: string };
    expect(await authority.authorize(withToken(token), wanted)).toBeUndefined();
    expect((await ask("repository:a:push")).status).toBe(401);
    expect((await ask("")).status).toBe(401);
  });

  it.each([
    ["GET", `${REALM}?service=other`, {}, 400],
    ["GET", REALM, { headers: { Authorization: "Basic" } }, 401],
    ["GET", REALM, { headers: { Authorization: "Basic !!!!" } }, 401],
    ["GET", `${REALM}?scope=${"repository:a:pull+".repeat(33)}`, { headers: { Authorization: basic(KEEPER) } }, 400],
    ["POST", REALM, { body: "grant_type=refresh_token&refresh_token=x" }, 400],
    ["POST", REALM, { body: new URLSearchParams({ grant_type: "password", ...KEEPER, password: "x" }) }, 401],
    ["POST", REALM, { body: `grant_type=password&username=keeper&password=${"x".repeat(20_000)}` }, 400],
    ["DELETE", REALM, {}, 405],
  ] as const)("answers %s %s %o with %i", async (method, url, init, status) => {
    const response = await authorityWith().answer(new Request(url, { method, ...(init as RequestInit) }));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ errors: [{ code: expect.any(String) }] });
  });

  it("rejects with the reason of an aborted request", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(authorityWith().answer(new Request(REALM, { signal }))).rejects.toBe(signal.reason);
  });

  it("refuses a secret that could be guessed", () => {
    expect(() => authorityWith({ secret: new Uint8Array(31) })).toThrow(
      expect.objectContaining({ code: "secret_invalid", message: expect.stringContaining("31 bytes") }),
    );
  });
});

describe("createBasicAuthority()", () => {
  const accounts = staticAccounts([KEEPER, READER], { anonymous: ["pull"] });
  const registry = createRegistry({
    storage: memoryStorage(),
    authorize: createBasicAuthority({ accounts, realm: 'the "test"' }),
  });
  const ask = (method: string, path: string, login?: { username: string; password: string }): Promise<Response> =>
    registry(request(method, path, login === undefined ? {} : { headers: { Authorization: basic(login) } }));

  it("lets in who is known, to do what they may", async () => {
    expect((await ask("GET", "/v2/", READER)).status).toBe(200);
    expect((await ask("POST", "/v2/a/blobs/uploads/", KEEPER)).status).toBe(202);
    expect((await ask("POST", "/v2/a/blobs/uploads/", READER)).status).toBe(403);
  });

  it("asks strangers for a password, also at /v2/, by which clients learn that one is wanted", async () => {
    for (const response of [
      await ask("GET", "/v2/"),
      await ask("POST", "/v2/a/blobs/uploads/"),
      await ask("GET", "/v2/a/tags/list", { ...KEEPER, password: "" }),
    ]) {
      expect(response.status).toBe(401);
      expect(response.headers.get("WWW-Authenticate")).toBe(String.raw`Basic realm="the \"test\""`);
    }
  });

  it("lets strangers do what everybody may", async () => {
    expect((await ask("GET", "/v2/a/tags/list")).status).toBe(404);
    expect((await ask("GET", "/v2/_catalog")).status).toBe(200);
  });
});

describe("staticAccounts()", () => {
  it("knows a pair of a name and a password, whatever is in them, and no other", async () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(text, text, text, async (username, password, other) => {
        fc.pre(other !== password);
        const accounts = staticAccounts([{ username, password }]);
        expect(await accounts.knows({ username, password })).toBe(true);
        expect(await accounts.knows({ username, password: other })).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it("does not let one account in with the password of another", async () => {
    const accounts = staticAccounts([KEEPER, READER]);
    expect(await accounts.knows({ username: KEEPER.username, password: READER.password })).toBe(false);
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(staticAccounts([KEEPER]).knows(KEEPER, { signal })).rejects.toBe(signal.reason);
  });
});

describe("equalSecrets()", () => {
  it("tells equal texts from others", async () => {
    expect(await equalSecrets("a", "a")).toBe(true);
    expect(await equalSecrets("", "")).toBe(true);
    expect(await equalSecrets("a", "b")).toBe(false);
    expect(await equalSecrets("a", "aa")).toBe(false);
  });
});
