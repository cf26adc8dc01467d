import { OCI_MANIFEST } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  createFetchTransport,
  createRegistryClient,
  type Credential,
  type Credentials,
  type CredentialTarget,
  type RegistryClient,
  type Repository,
  staticCredentials,
} from "../src/index.js";
import { parseChallenges } from "../src/challenge.js";
import { createAuthorizer } from "../src/authorization.js";
import { createHostLimits } from "../src/host-limits.js";
import { DEFAULT_RETRY } from "../src/retry.js";
import { failure, PATH, pseudoRandom, readAll, sendCut, startRegistry, type TestRegistry } from "./registry-server.js";
import { demandPassword, demandToken, startTokenServer, type TokenServer } from "./token-server.js";

const PULL = `repository:${PATH}:pull`;
const SECRET = "s3cret!päss word/+";
const PASSWORD: Credential = { kind: "basic", username: "ann", password: SECRET };
const IDENTITY: Credential = { kind: "identity", token: "refresh-abc" };

let registry: TestRegistry;
let tokens: TokenServer;
let client: RegistryClient | undefined;
let clock: number;

beforeEach(async () => {
  [registry, tokens] = await Promise.all([startRegistry(), startTokenServer()]);
  registry.addManifest("1", "{}");
  clock = 0;
});

afterEach(async () => {
  await client?.close();
  client = undefined;
  await Promise.all([registry[Symbol.asyncDispose](), tokens[Symbol.asyncDispose]()]);
});

function open(credentials?: Credentials | Credential): Repository {
  const given =
    credentials !== undefined && "kind" in credentials
      ? staticCredentials({ [registry.host]: credentials })
      : credentials;
  client = createRegistryClient({
    retry: { baseMs: 1, attempts: 2, now: () => clock },
    ...(given !== undefined && { credentials: given }),
  });
  return client.repository({ domain: registry.host, path: PATH });
}

function sent(): (string | undefined)[] {
  return registry.requests.map(({ headers }) => headers.authorization);
}

function actionOf({ method }: { method?: string | undefined }): string {
  return method === "GET" || method === "HEAD" ? PULL : `repository:${PATH}:push`;
}

/** What `write` sends, as a header. */
function basicOf(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

describe("a registry that wants a password", () => {
  it("gets it when it asks, in UTF-8, and unasked from then on", async () => {
    demandPassword(registry, "ann", SECRET);
    const repository = open(PASSWORD);
    await repository.resolve("1");
    await repository.resolve("1");
    const basic = basicOf("ann", SECRET);
    expect(sent()).toEqual([undefined, basic, basic]);
  });

  it("gets it once only when it does not take it", async () => {
    demandPassword(registry, "ann", "another");
    const repository = open(PASSWORD);
    await expect(repository.resolve("1")).rejects.toThrow(failure("unauthorized", "answers 401"));
    expect(sent()).toEqual([undefined, basicOf("ann", SECRET)]);
  });

  it("gets a changed one after it refused the old", async () => {
    demandPassword(registry, "ann", "old");
    let password = "old";
    const repository = open({ lookup: async () => ({ kind: "basic", username: "ann", password }) });
    await repository.resolve("1");
    demandPassword(registry, "ann", "new");
    password = "new";
    await repository.resolve("1");
    expect(sent()).toEqual([undefined, basicOf("ann", "old"), basicOf("ann", "old"), basicOf("ann", "new")]);
  });

  it("does not get one again that it refused and that is no longer there", async () => {
    demandPassword(registry, "ann", SECRET);
    let credential: Credential | undefined = PASSWORD;
    const repository = open({ lookup: async () => credential });
    await repository.resolve("1");
    demandPassword(registry, "ann", "new");
    credential = undefined;
    registry.requests.length = 0;
    for (let count = 0; count < 2; count++)
      await expect(repository.resolve("1")).rejects.toThrow(failure("unauthorized"));
    expect(sent()).toEqual([basicOf("ann", SECRET), undefined]);
  });

  it("gets neither a refresh token nor anything for another host", async () => {
    demandPassword(registry, "ann", SECRET);
    await expect(open(IDENTITY).resolve("1")).rejects.toThrow(failure("unauthorized"));
    await expect(open(staticCredentials({ "other.test": PASSWORD })).resolve("1")).rejects.toThrow(
      failure("unauthorized"),
    );
    expect(sent()).toEqual([undefined, undefined]);
  });

  it("does not get what Basic cannot carry", async () => {
    demandPassword(registry, "ann", SECRET);
    const repository = open({ kind: "basic", username: "a:b", password: SECRET });
    await expect(repository.resolve("1")).rejects.toThrow(failure("credentials_invalid"));
    const broken = open({ kind: "basic", username: "a", password: "x\r\nX-Evil: 1" });
    await expect(broken.resolve("1")).rejects.toThrow(failure("credentials_invalid"));
  });

  it("is told who asks: registry, repository and origin", async () => {
    demandPassword(registry, "ann", SECRET);
    const targets: CredentialTarget[] = [];
    const lookup: Credentials["lookup"] = async (target) => void targets.push(target);
    await expect(open({ lookup }).resolve("1")).rejects.toThrow(failure("unauthorized"));
    expect(targets).toEqual([{ registry: registry.host, repository: PATH, origin: registry.url }]);
    const hub = createRegistryClient({
      transport: createFetchTransport(
        async () => new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } }),
      ),
      credentials: { lookup },
    });
    await expect(hub.repository({ domain: "docker.io", path: "library/x" }).resolve("1")).rejects.toThrow();
    expect(targets[1]).toEqual({
      registry: "docker.io",
      repository: "library/x",
      origin: "https://registry-1.docker.io",
    });
  });

  it("that offers several ways gets a token rather than the password", async () => {
    demandToken(registry, tokens, () => PULL);
    const demand = registry.intercept;
    registry.intercept = (request, response) => {
      const write = response.setHeader.bind(response);
      response.setHeader = (name, value) =>
        write(name, name === "www-authenticate" ? `Basic realm="x", ${String(value)}` : value);
      return demand(request, response);
    };
    await open(PASSWORD).resolve("1");
    expect(sent()).toEqual([undefined, "Bearer token-1"]);
  });

  it("gets the password when its Bearer challenge leads nowhere", async () => {
    demandPassword(registry, "ann", SECRET);
    const demand = registry.intercept;
    registry.intercept = (request, response) => {
      response.appendHeader("www-authenticate", "Bearer");
      return demand(request, response);
    };
    await open(PASSWORD).resolve("1");
    expect(sent()).toEqual([undefined, basicOf("ann", SECRET)]);
  });

  it("stops with the error of the credentials", async () => {
    demandPassword(registry, "ann", SECRET);
    const lookup = (): Promise<never> => Promise.reject(new Error("locked"));
    await expect(open({ lookup }).resolve("1")).rejects.toThrow("locked");
  });
});

describe("challenges", () => {
  it("are read past one with a value of another form", () => {
    const header = 'Negotiate abc==, Basic realm="x", NTLM, Bearer realm="y"';
    expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, parameters.get("realm")])).toEqual([
      ["negotiate", undefined],
      ["basic", "x"],
      ["ntlm", undefined],
      ["bearer", "y"],
    ]);
  });
});

describe("a registry's own token", () => {
  it("goes to the registry as it is, without a token server", async () => {
    tokens.issued.set("given", [PULL]);
    demandToken(registry, tokens, () => PULL);
    const repository = open({ kind: "bearer", token: "given" });
    await repository.resolve("1");
    await repository.resolve("1");
    expect(sent()).toEqual([undefined, "Bearer given", "Bearer given"]);
    expect(tokens.requests).toEqual([]);
  });

  it("that is not accepted, or cannot be sent, is an error", async () => {
    demandToken(registry, tokens, () => PULL);
    await expect(open({ kind: "bearer", token: "wrong" }).resolve("1")).rejects.toThrow(failure("unauthorized"));
    expect(sent()).toEqual([undefined, "Bearer wrong"]);
    await expect(open({ kind: "bearer", token: "a\nb" }).resolve("1")).rejects.toThrow(failure("credentials_invalid"));
  });
});

describe("a token server", () => {
  beforeEach(() => {
    demandToken(registry, tokens, () => PULL);
  });

  it.each([
    [PASSWORD, { grant_type: "password", username: "ann", password: SECRET }],
    [IDENTITY, { grant_type: "refresh_token", refresh_token: "refresh-abc" }],
  ])("gets the credential with POST: $kind", async (credential, grant) => {
    await open(credential).resolve("1");
    expect(tokens.requests).toHaveLength(1);
    const { method, authorization, parameters } = tokens.requests[0] ?? {};
    expect([method, authorization]).toEqual(["POST", undefined]);
    expect(Object.fromEntries(parameters ?? [])).toEqual({
      client_id: "lamella",
      service: "registry.test",
      scope: PULL,
      ...grant,
    });
    expect(sent()).toEqual([undefined, "Bearer token-1"]);
  });

  it.each([400, 401, 404, 405])(
    "that answers POST with %i gets the password with GET, at once the next time",
    async (status) => {
      tokens.decide = ({ method }) => ({ status: method === "POST" ? status : 200, fields: { expires_in: 60 } });
      const repository = open(PASSWORD);
      await repository.resolve("1");
      clock += 60_000;
      await repository.resolve("1");
      expect(tokens.requests.map(({ method }) => method)).toEqual(["POST", "GET", "GET"]);
      const basic = basicOf("ann", SECRET);
      expect(tokens.requests.map(({ authorization }) => authorization)).toEqual([undefined, basic, basic]);
      expect(tokens.requests[1]?.parameters.getAll("scope")).toEqual([PULL]);
      expect(tokens.requests[1]?.parameters.has("password")).toBe(false);
    },
  );

  it.each([400, 401, 404])("that refuses a refresh token with %i is not asked again without it", async (status) => {
    tokens.decide = () => ({ status });
    await expect(open(IDENTITY).resolve("1")).rejects.toThrow(failure("unauthorized", `answers ${status}`));
    expect(tokens.requests).toHaveLength(1);
  });

  it("that is busy is tried again", async () => {
    tokens.decide = () => (tokens.requests.length === 1 ? { status: 503 } : {});
    await open(PASSWORD).resolve("1");
    expect(tokens.requests).toHaveLength(2);
  });

  it("is never led on with the credential by a redirect", async () => {
    const elsewhere = await startTokenServer();
    try {
      const headers = { location: `${elsewhere.url}/token` };
      tokens.decide = ({ method }) => (method === "POST" ? { status: 404 } : { status: 307, headers });
      elsewhere.decide = () => ({ status: 401 });
      await expect(open(PASSWORD).resolve("1")).rejects.toThrow(failure("unauthorized"));
      tokens.decide = () => ({ status: 307, headers });
      await expect(open(IDENTITY).resolve("1")).rejects.toThrow(failure("protocol", "answers 307"));
      expect(elsewhere.requests.map(({ method, authorization }) => [method, authorization])).toEqual([
        ["GET", undefined],
      ]);
    } finally {
      await elsewhere[Symbol.asyncDispose]();
    }
  });

  it("is asked anonymously when there is no credential", async () => {
    await open().resolve("1");
    expect(tokens.requests.map(({ method, authorization }) => [method, authorization])).toEqual([["GET", undefined]]);
  });
});

describe("tokens", () => {
  it("are shared by requests that need the same at the same time, at first and after their end", async () => {
    demandToken(registry, tokens, () => PULL);
    tokens.decide = async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return { fields: { expires_in: 60 } };
    };
    const repository = open(PASSWORD);
    const eight = (): Promise<unknown> => Promise.all(Array.from({ length: 8 }, () => repository.resolve("1")));
    await eight();
    expect(tokens.issued.size).toBe(1);
    clock += 54_999;
    await eight();
    expect(tokens.issued.size).toBe(1);
    clock += 1;
    registry.requests.length = 0;
    await eight();
    expect(tokens.issued.size).toBe(2);
    expect(new Set(sent())).toEqual(new Set(["Bearer token-2"]));
  });

  it("that are revoked are renewed once for all requests that were refused", async () => {
    const { revoked } = demandToken(registry, tokens, () => PULL);
    const repository = open(PASSWORD);
    await repository.resolve("1");
    revoked.add("token-1");
    await Promise.all(Array.from({ length: 8 }, () => repository.resolve("1")));
    expect(tokens.issued.size).toBe(2);
  });

  it("that are being renewed are not sent meanwhile", async () => {
    const { revoked } = demandToken(registry, tokens, () => PULL);
    const repository = open(PASSWORD);
    await repository.resolve("1");
    revoked.add("token-1");
    registry.requests.length = 0;
    let late: Promise<unknown> = Promise.resolve();
    tokens.decide = async () => {
      late = repository.resolve("1");
      await new Promise((resolve) => setTimeout(resolve, 30));
      return {};
    };
    await repository.resolve("1");
    await late;
    expect(sent()).toEqual(["Bearer token-1", "Bearer token-2", "Bearer token-2"]);
  });

  it("that are refused are not sent again when the token server gives the same", async () => {
    demandToken(registry, tokens, () => "repository:never:pull");
    tokens.decide = () => ({ body: JSON.stringify({ access_token: "same", expires_in: 300 }) });
    const repository = open(PASSWORD);
    for (let count = 0; count < 2; count++)
      await expect(repository.resolve("1")).rejects.toThrow(failure("unauthorized"));
    expect(sent()).toEqual([undefined, "Bearer same", "Bearer same"]);
  });

  it("that cannot be renewed are forgotten: the next request learns what is wanted now", async () => {
    demandToken(registry, tokens, () => PULL);
    const repository = open(PASSWORD);
    await repository.resolve("1");
    clock += 300_000;
    tokens.decide = () => ({ status: 403 });
    registry.intercept = () => false;
    await expect(repository.resolve("1")).rejects.toThrow(failure("denied"));
    registry.requests.length = 0;
    await repository.resolve("1");
    expect(sent()).toEqual([undefined]);
  });

  it("outlive one caller's abort when another waits for them", async () => {
    demandToken(registry, tokens, () => PULL);
    const controller = new AbortController();
    let isAsked = (): void => {};
    const asked = new Promise<void>((resolve) => (isAsked = resolve));
    tokens.decide = async () => {
      isAsked();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return {};
    };
    const repository = open(PASSWORD);
    const [first, second] = [repository.resolve("1", { signal: controller.signal }), repository.resolve("1")];
    const outcome = expect(first).rejects.toBe("enough");
    await asked;
    controller.abort("enough");
    await outcome;
    await second;
    expect(tokens.issued.size).toBe(1);
  });

  it("are no longer waited for by a caller that aborts alone", async () => {
    demandToken(registry, tokens, () => PULL);
    const controller = new AbortController();
    tokens.decide = async () => {
      controller.abort("enough");
      await new Promise((resolve) => setTimeout(resolve, 50));
      return {};
    };
    await expect(open().resolve("1", { signal: controller.signal })).rejects.toBe("enough");
  });

  it("are kept for a repository that is opened again", async () => {
    demandToken(registry, tokens, () => PULL);
    await open(PASSWORD).resolve("1");
    await client?.repository({ domain: registry.host, path: PATH }).resolve("1");
    expect(tokens.issued.size).toBe(1);
  });

  it("of one repository are not sent for another", async () => {
    demandToken(registry, tokens, () => PULL);
    await open(PASSWORD).resolve("1");
    registry.requests.length = 0;
    await client
      ?.repository({ domain: registry.host, path: "test/other" })
      .resolve("1")
      .catch(() => {});
    expect(sent()[0]).toBeUndefined();
  });

  it("for a push are asked for with what the challenge and the request want, and serve a pull too", async () => {
    demandToken(registry, tokens, actionOf);
    tokens.decide = ({ parameters }) => {
      const granted = parameters.get("scope")?.includes("push") === true ? ["pull", "push"] : ["pull"];
      tokens.issued.set(
        "granted",
        granted.map((action) => `repository:${PATH}:${action}`),
      );
      return { body: JSON.stringify({ access_token: "granted" }) };
    };
    const repository = open(PASSWORD);
    await repository.pushManifest("2", { bytes: new TextEncoder().encode("{}"), mediaType: OCI_MANIFEST });
    await repository.resolve("2");
    expect(tokens.requests.map(({ parameters }) => parameters.get("scope"))).toEqual([`repository:${PATH}:push,pull`]);
  });

  it("for a mount cover the other repository too, even with one for a push at hand", async () => {
    const wanted = `repository:${PATH}:pull,push`;
    const mount = `${wanted} repository:test/base:pull`;
    demandToken(registry, tokens, () => wanted);
    const demand = registry.intercept;
    registry.intercept = async (request, response) => {
      if (await demand(request, response)) return true;
      if (request.method === "POST") response.writeHead(request.url?.includes("mount=") === true ? 201 : 202).end();
      return request.method === "POST";
    };
    tokens.decide = ({ parameters }) => {
      tokens.issued.set("granted", [wanted]);
      const token = parameters.get("scope")?.includes("base") === true ? "granted" : "other";
      tokens.issued.set(token, [wanted]);
      return { body: JSON.stringify({ access_token: token }) };
    };
    const repository = open(PASSWORD);
    await repository.pushManifest("2", { bytes: new TextEncoder().encode("{}"), mediaType: OCI_MANIFEST });
    const from = { registry: registry.url, path: "test/base" };
    await repository.mount(registry.addBlob(pseudoRandom(10)), from);
    expect(tokens.requests.map(({ parameters }) => parameters.get("scope"))).toEqual([wanted, mount]);
    expect(sent().at(-1)).toBe("Bearer granted");
  });

  it("that end midway of a blob are renewed once and the blob goes on where it broke", async () => {
    const bytes = pseudoRandom(300_000);
    const layer = registry.addBlob(bytes);
    const { revoked } = demandToken(registry, tokens, () => PULL);
    const demand = registry.intercept;
    let isCut = false;
    registry.intercept = async (request, response) => {
      if (await demand(request, response)) return true;
      if (isCut) return false;
      isCut = true;
      revoked.add("token-1");
      sendCut(response, bytes.subarray(0, 100_000), { "content-length": bytes.length });
      return true;
    };
    expect(Buffer.from(bytes).equals(await readAll(open(PASSWORD).fetch(layer)))).toBe(true);
    expect(tokens.issued.size).toBe(2);
    expect(registry.requests.at(-1)?.headers.range).toBe("bytes=100000-");
  });

  it("that are refused again and again end in an authentication error, not in a loop", async () => {
    const layer = registry.addBlob(pseudoRandom(1000));
    demandToken(registry, tokens, () => "repository:never:pull");
    tokens.decide = () => ({ body: JSON.stringify({ token: `t-${tokens.requests.length}` }) });
    await expect(readAll(open(PASSWORD).fetch(layer))).rejects.toThrow(failure("unauthorized"));
    expect(registry.requests).toHaveLength(2);
    expect(tokens.requests).toHaveLength(1);
  });

  it("with an odd life are used for a while at most", async () => {
    demandToken(registry, tokens, () => PULL);
    const repository = open(PASSWORD);
    for (const life of [1e300, -1, "soon", null]) {
      tokens.decide = () => ({ fields: { expires_in: life } });
      clock += 25 * 60 * 60 * 1000;
      await repository.resolve("1");
    }
    expect(tokens.issued.size).toBe(4);
  });
});

describe("where the registry leads", () => {
  function answers(realm: string, asked: Request[]): RegistryClient {
    const transport = createFetchTransport(async (request) => {
      asked.push(request);
      const { host, pathname } = new URL(request.url);
      if (pathname === "/token" && host !== "registry.test") return Response.json({ token: "t", expires_in: 300 });
      if (request.headers.get("authorization") === "Bearer t") return new Response("{}");
      return new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}"` } });
    });
    const credentials = staticCredentials({ "registry.test": PASSWORD });
    return createRegistryClient({ transport, credentials, retry: { baseMs: 1, attempts: 1 } });
  }

  it("a realm on another host gets the password over HTTPS, and nobody else does", async () => {
    const asked: Request[] = [];
    const remote = answers("https://auth.test/token", asked);
    await remote.repository({ domain: "registry.test", path: PATH }).fetchManifest("1");
    expect(asked.map(({ url, method, headers }) => [method, new URL(url).host, headers.get("authorization")])).toEqual([
      ["GET", "registry.test", null],
      ["POST", "auth.test", null],
      ["GET", "registry.test", "Bearer t"],
    ]);
  });

  it.each([
    "http://auth.test/token",
    "http://registry.test/token",
    "https://169.254.169.254/token",
    "https://[fe80::1]/token",
    "https://127.0.0.1/token",
    "https://localhost/token",
    "https://[fd00:ec2::254]/token",
    "https://100.100.100.200/token",
    "https://metadata.google.internal./token",
  ])("a realm at %s gets nothing", async (realm) => {
    const asked: Request[] = [];
    const remote = answers(realm, asked);
    await expect(remote.repository({ domain: "registry.test", path: PATH }).fetchManifest("1")).rejects.toThrow(
      failure("insecure"),
    );
    expect(asked.map(({ url }) => new URL(url).host)).toEqual(["registry.test"]);
  });

  it("a host that the registry redirects to gets no password, however it asks", async () => {
    const elsewhere = await startRegistry();
    try {
      demandPassword(registry, "ann", SECRET);
      const demand = registry.intercept;
      registry.intercept = async (request, response) => {
        if (await demand(request, response)) return true;
        response.writeHead(307, { location: `${elsewhere.url}/x` }).end();
        return true;
      };
      demandPassword(elsewhere, "ann", SECRET);
      await expect(open(PASSWORD).fetchManifest("1")).rejects.toThrow(failure("unauthorized"));
      expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    } finally {
      await elsewhere[Symbol.asyncDispose]();
    }
  });

  it("an upload at another host gets neither content nor password", async () => {
    const elsewhere = await startRegistry();
    try {
      const bytes = pseudoRandom(10);
      const layer = elsewhere.addBlob(bytes);
      demandPassword(registry, "ann", SECRET);
      const demand = registry.intercept;
      registry.intercept = async (request, response) => {
        if (await demand(request, response)) return true;
        if (request.method !== "POST") return false;
        response.writeHead(202, { location: `${elsewhere.url}/upload` }).end();
        return true;
      };
      const content = (async function* () {
        yield bytes;
      })();
      await expect(open(PASSWORD).push(layer, content)).rejects.toThrow(failure("redirect_refused"));
      expect(elsewhere.requests).toEqual([]);
    } finally {
      await elsewhere[Symbol.asyncDispose]();
    }
  });

  it("a next page at another host is not asked for", async () => {
    const elsewhere = await startRegistry();
    try {
      demandPassword(registry, "ann", SECRET);
      const demand = registry.intercept;
      registry.intercept = async (request, response) => {
        if (await demand(request, response)) return true;
        response.writeHead(200, { link: `<${elsewhere.url}/v2/${PATH}/tags/list?n=1>; rel="next"` });
        response.end(JSON.stringify({ tags: ["1"] }));
        return true;
      };
      await expect(
        (async () => {
          for await (const tag of open(PASSWORD).tags()) expect(tag).toBe("1");
        })(),
      ).rejects.toThrow(failure("protocol"));
      expect(elsewhere.requests).toEqual([]);
    } finally {
      await elsewhere[Symbol.asyncDispose]();
    }
  });
});

describe("errors hold no secret", () => {
  /** The whole error, with causes and fields. */
  async function textOf(promise: Promise<unknown>): Promise<string> {
    const { inspect } = await import("node:util");
    return promise.then(
      () => expect.unreachable(),
      (error: unknown) => inspect(error, { depth: 10, showHidden: true }),
    );
  }

  it.each([
    ["the password", SECRET],
    ["the password in Base64", Buffer.from(`ann:${SECRET}`).toString("base64")],
    ["the password in a form", encodeURIComponent(SECRET)],
  ])("when the token server repeats %s", async (_, text) => {
    demandToken(registry, tokens, () => PULL);
    tokens.decide = () => ({
      status: 403,
      body: JSON.stringify({ errors: [{ code: "DENIED", message: `no ${text} here` }] }),
    });
    const error = await textOf(open(PASSWORD).resolve("1"));
    expect(error).toContain("[redacted] here");
    expect(error).not.toContain(text);
    expect(error).not.toContain("s3cret");
  });

  it("when the token server repeats a refresh token", async () => {
    demandToken(registry, tokens, () => PULL);
    tokens.decide = () => ({
      status: 400,
      body: JSON.stringify({ errors: [{ code: "X", message: "no refresh-abc" }] }),
    });
    expect(await textOf(open(IDENTITY).resolve("1"))).not.toContain("refresh-abc");
  });

  it("when the registry repeats what it was sent", async () => {
    registry.intercept = ({ headers }, response) => {
      const credential = headers.authorization?.split(" ")[1] ?? "";
      response.writeHead(401, { "www-authenticate": "Basic" });
      response.end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: `no ${credential}` }] }));
      return true;
    };
    const error = await textOf(open(PASSWORD).fetchManifest("1"));
    expect(error).toContain("no [redacted]");
    expect(error).not.toContain(basicOf("ann", SECRET).slice(6));
  });

  it("when the connection to the token server breaks", async () => {
    demandToken(registry, tokens, () => PULL);
    await tokens[Symbol.asyncDispose]();
    const error = await textOf(open(PASSWORD).resolve("1"));
    expect(error).not.toContain("s3cret");
    expect(error).not.toContain(basicOf("ann", SECRET).slice(6));
    tokens = await startTokenServer();
  });
});

describe("ping()", () => {
  it("takes a right password, by itself or for a token without any scope", async () => {
    demandPassword(registry, "ann", SECRET);
    const demand = registry.intercept;
    registry.intercept = async (request, response) => {
      if (await demand(request, response)) return true;
      response.end("{}");
      return true;
    };
    open(PASSWORD);
    await client?.ping(registry.host);
    expect(registry.requests.map(({ path }) => path)).toEqual(["/v2/", "/v2/"]);
    registry.intercept = ({ headers }, response) => {
      const isAllowed = headers.authorization === "Bearer token-1";
      response.writeHead(isAllowed ? 200 : 401, { "www-authenticate": `Bearer realm="${tokens.realm}"` }).end();
      return true;
    };
    open(PASSWORD);
    await client?.ping(registry.host);
    expect(tokens.requests.map(({ parameters }) => parameters.get("scope"))).toEqual([null]);
  });

  it("refuses a wrong one and a missing one", async () => {
    demandPassword(registry, "ann", "another");
    open(PASSWORD);
    await expect(client?.ping(registry.host)).rejects.toThrow(
      failure("unauthorized", `cannot use the API in ${registry.host}`),
    );
    open();
    await expect(client?.ping(registry.host)).rejects.toThrow(failure("unauthorized"));
  });

  it("refuses what is no registry, and a caller that has aborted", async () => {
    open();
    await expect(client?.ping("a b")).rejects.toThrow(failure("address_invalid"));
    await expect(client?.ping(registry.host, { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
  });
});

describe("the catalog", () => {
  it("is asked for with the scope of the challenge alone", async () => {
    demandToken(registry, tokens, () => "registry:catalog:*");
    const demand = registry.intercept;
    registry.intercept = async (request, response) => {
      if (await demand(request, response)) return true;
      response.end(JSON.stringify({ repositories: ["test/app"] }));
      return true;
    };
    open(PASSWORD);
    const paths: string[] = [];
    for await (const path of client?.catalog(registry.host) ?? []) paths.push(path);
    expect(paths).toEqual(["test/app"]);
    expect(tokens.requests.map(({ parameters }) => parameters.get("scope"))).toEqual(["registry:catalog:*"]);
  });
});

describe("createAuthorizer()", () => {
  it("forgets the oldest of many tokens", async () => {
    let issued = 0;
    const authorizer = createAuthorizer({
      wire: {
        transport: createFetchTransport(async () => Response.json({ token: `t${++issued}` })),
        timeouts: { connectMs: 1000, headersMs: 1000, bodyMs: 1000 },
        limits: createHostLimits(DEFAULT_RETRY),
        onNotice: () => {},
      },
      registry: new URL("https://registry.test"),
      target: { registry: "registry.test", repository: "x", origin: "https://registry.test" },
      credentials: staticCredentials({}),
      plainHttp: () => false,
      userAgent: "test",
      now: () => 0,
    });
    const challenge = { scheme: "bearer", parameters: new Map([["realm", "https://registry.test/token"]]) };
    const accessTo = (count: number): { scopes: string[]; act: string } => ({
      scopes: [`repository:r${count}:pull`],
      act: "test",
    });
    for (let count = 0; count < 65; count++) {
      await authorizer.renew(accessTo(count), { challenges: [challenge], authorization: undefined });
    }
    expect(await authorizer.current(accessTo(0))).toBeUndefined();
    expect(await authorizer.current(accessTo(1))).toBe("Bearer t2");
    expect(await authorizer.current(accessTo(64))).toBe("Bearer t65");
  });
});
