import { OCI_MANIFEST } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createFetchTransport, createRegistryClient, type RegistryClient, type Repository } from "../src/index.js";
import { parseChallenges } from "../src/challenge.js";
import {
  failure,
  PATH,
  pseudoRandom,
  readAll,
  sendError,
  startRegistry,
  type TestRegistry,
} from "./registry-server.js";

const RETRY = { baseMs: 1, attempts: 2 };
const SCOPE = `repository:${PATH}:pull`;

let registry: TestRegistry;
let elsewhere: TestRegistry;
let client: RegistryClient;
let repository: Repository;

beforeEach(async () => {
  registry = await startRegistry();
  elsewhere = await startRegistry();
  client = createRegistryClient({ retry: RETRY });
  repository = client.repository({ domain: registry.host, path: PATH });
});

afterEach(async () => {
  await client.close();
  await Promise.all([registry[Symbol.asyncDispose](), elsewhere[Symbol.asyncDispose]()]);
});

/** The registry accepts the newest token only; the token server is another host. */
function demandTokens({ answer = (token: string): unknown => ({ token, expires_in: 300 }) } = {}): {
  issued: () => number;
} {
  let issued = 0;
  elsewhere.intercept = (_, response) => {
    response.end(JSON.stringify(answer(`token-${++issued}`)));
    return true;
  };
  registry.intercept = ({ headers }, response) => {
    if (issued > 0 && headers.authorization === `Bearer token-${issued}`) return false;
    const challenge = `Bearer realm="${elsewhere.url}/token?account=a",service="registry.test",scope="${SCOPE}"`;
    response.setHeader("www-authenticate", challenge);
    sendError(response, 401, "UNAUTHORIZED", "authentication required");
    return true;
  };
  return { issued: () => issued };
}

describe("an anonymous token", () => {
  it("is asked for once, with the scope of the challenge, and used from then on", async () => {
    const descriptor = registry.addManifest("1", "{}");
    const { issued } = demandTokens();
    expect(await repository.resolve("1")).toEqual(descriptor);
    expect((await repository.fetchManifest("1")).descriptor).toEqual(descriptor);
    expect(issued()).toBe(1);
    const query = new URL(elsewhere.requests[0]?.path ?? "", elsewhere.url).searchParams;
    expect([...query]).toEqual([
      ["account", "a"],
      ["service", "registry.test"],
      ["scope", SCOPE],
    ]);
    expect(elsewhere.requests[0]?.headers.authorization).toBeUndefined();
  });

  it("is got anew, once, when the registry takes it no more", async () => {
    registry.addManifest("1", "{}");
    const { issued } = demandTokens();
    await repository.resolve("1");
    elsewhere.requests.length = 0;
    const accept = registry.intercept;
    let isRevoked = true;
    registry.intercept = (request, response) => {
      if (!isRevoked) return accept(request, response);
      isRevoked = false;
      response.writeHead(401, { "www-authenticate": `Bearer realm="${elsewhere.url}/token"` }).end();
      return true;
    };
    await repository.resolve("1");
    expect(issued()).toBe(2);
  });

  it("is not kept past its end", async () => {
    registry.addManifest("1", "{}");
    const { issued } = demandTokens({ answer: (token) => ({ access_token: token, expires_in: 1 }) });
    await repository.resolve("1");
    await repository.resolve("1");
    expect(issued()).toBe(2);
  });

  it("that is never accepted ends in an error, not in a loop", async () => {
    demandTokens({ answer: () => ({ token: "wrong" }) });
    await expect(repository.resolve("1")).rejects.toThrow(failure("unauthorized", "answers 401"));
    expect(registry.requests).toHaveLength(2);
    await expect(repository.fetchManifest("1")).rejects.toThrow('UNAUTHORIZED: "authentication required"');
  });

  it.each([
    ["is not JSON", () => "x"],
    ["holds no token", () => ({})],
    ["would break a header", () => ({ token: "a\r\nX-Evil: 1" })],
  ])("is refused when the answer %s", async (_, answer) => {
    demandTokens({ answer });
    await expect(repository.resolve("1")).rejects.toThrow(failure("protocol", "holds no token"));
  });

  it("is refused when the answer is over 1 MiB", async () => {
    demandTokens({ answer: () => ({ token: "x".repeat(1024 * 1024) }) });
    await expect(repository.resolve("1")).rejects.toThrow(failure("too_large", "1048576"));
  });

  it("is not asked for when the registry wants a password", async () => {
    registry.intercept = (_, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      return true;
    };
    await expect(repository.resolve("1")).rejects.toThrow(failure("unauthorized"));
    expect(registry.requests).toHaveLength(1);
  });

  it.each([
    ["http://example.org/token", "insecure"],
    ["https://127.0.0.1:1/token", "insecure"],
    ["https://169.254.169.254/token", "insecure"],
    ["https://[fe80::1]/token", "insecure"],
    ["https://[::ffff:169.254.169.254]/token", "insecure"],
    ["https://0.0.0.0/token", "insecure"],
    ["https://user:secret@example.org/token", "insecure"],
    ["file:///etc/passwd", "insecure"],
    ["/token", "protocol"],
  ])("is never asked for at %s by a registry that is elsewhere", async (realm, code) => {
    const asked: string[] = [];
    const transport = createFetchTransport((request) => {
      asked.push(new URL(request.url).host);
      return Promise.resolve(
        new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}"` } }),
      );
    });
    const remote = createRegistryClient({ transport, retry: RETRY }).repository({
      domain: "registry.test",
      path: PATH,
    });
    await expect(remote.fetchManifest("1")).rejects.toThrow(
      expect.objectContaining({ code, message: expect.not.stringContaining("secret") }),
    );
    expect(asked).toEqual(["registry.test"]);
  });
});

describe("redirects", () => {
  it("of a blob are followed without the token, and the range goes with them", async () => {
    const bytes = pseudoRandom(200_000);
    const layer = registry.addBlob(bytes);
    demandTokens();
    const accept = registry.intercept;
    registry.intercept = async (request, response) => {
      if (await accept(request, response)) return true;
      response.writeHead(307, { location: `${elsewhere.url}/storage?signature=secret` }).end();
      return true;
    };
    const token = elsewhere.intercept;
    let isCut = false;
    elsewhere.intercept = (request, response) => {
      if (!request.url?.startsWith("/storage")) return token(request, response);
      if (isCut) {
        response.writeHead(206, { "content-range": "bytes 50000-199999/200000" }).end(bytes.subarray(50_000));
      } else {
        response
          .writeHead(200, { "content-length": bytes.length })
          .write(bytes.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20));
      }
      isCut = true;
      return true;
    };
    expect(Buffer.from(bytes).equals(await readAll(repository.fetch(layer)))).toBe(true);
    const storage = elsewhere.requests.filter(({ path }) => path.startsWith("/storage"));
    expect(storage.map(({ headers }) => [headers.authorization, headers.range])).toEqual([
      [undefined, undefined],
      [undefined, "bytes=50000-"],
    ]);
  });

  it("keep the token within the origin, and lose it for good after leaving it", async () => {
    registry.addManifest("1", "{}");
    demandTokens();
    const accept = registry.intercept;
    registry.intercept = async (request, response) => {
      if (request.url === "/back") return response.writeHead(404).end() !== undefined;
      if (await accept(request, response)) return true;
      const location = request.url === "/moved" ? `${elsewhere.url}/away` : "/moved";
      response.writeHead(302, { location }).end();
      return true;
    };
    const token = elsewhere.intercept;
    elsewhere.intercept = (request, response) => {
      if (request.url !== "/away") return token(request, response);
      response.writeHead(302, { location: `${registry.url}/back` }).end();
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(failure("not_found"));
    const sent = Object.fromEntries(registry.requests.map(({ path, headers }) => [path, headers.authorization]));
    expect(sent).toMatchObject({ "/moved": "Bearer token-1", "/back": undefined });
    expect(elsewhere.requests.find(({ path }) => path === "/away")?.headers.authorization).toBeUndefined();
  });

  it("in a circle end after ten", async () => {
    registry.intercept = ({ url }, response) => {
      response.writeHead(302, { location: url ?? "" }).end();
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(failure("redirect_refused", "more than 10 times"));
    expect(registry.requests).toHaveLength(11);
  });

  it("do not make a challenge of another host count", async () => {
    registry.intercept = (_, response) => {
      response.writeHead(302, { location: `${elsewhere.url}/x` }).end();
      return true;
    };
    elsewhere.intercept = (_, response) => {
      response.writeHead(401, { "www-authenticate": `Bearer realm="${elsewhere.url}/token"` }).end();
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(failure("unauthorized"));
    expect(elsewhere.requests.map(({ path }) => path)).toEqual(["/x"]);
  });

  it.each([
    ["http://registry.test/x", "from HTTPS to plain HTTP"],
    ["http://127.0.0.1/x", "from HTTPS to plain HTTP"],
    ["https://localhost/x", "into this one"],
    ["https://169.254.169.254/latest?secret", "link-local"],
    ["https://user:secret@registry.test/x", "credentials"],
    ["ftp://registry.test/x", "not HTTP"],
    ["https://[", "no address"],
  ])("to %s are refused", async (location, state) => {
    const respond = (): Promise<Response> =>
      Promise.resolve(new Response(null, { status: 307, headers: { location } }));
    const remote = createRegistryClient({ transport: createFetchTransport(respond), retry: RETRY });
    await expect(remote.repository({ domain: "registry.test", path: PATH }).fetchManifest("1")).rejects.toThrow(
      expect.objectContaining({ code: "redirect_refused", message: expect.stringMatching(`^(?!.*secret).*${state}`) }),
    );
  });

  it("to plain HTTP elsewhere are refused unless that host is allowed", async () => {
    registry.intercept = (_, response) => {
      response.writeHead(307, { location: "http://storage.test/x" }).end();
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(
      failure("redirect_refused", "plain HTTP is not allowed"),
    );
  });
});

describe("messages", () => {
  it("escape what a registry says and hide what looks like credentials", async () => {
    registry.intercept = (_, response) => {
      sendError(response, 403, "DENIED", "\u001b[2Jno Bearer abc.def at https://u:p@h/x?sig=1");
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(
      failure("denied", String.raw`(DENIED: "\u001b[2Jno Bearer [redacted] at https://h/x?[redacted]")`),
    );
  });

  it("survive an error page that is no JSON and has no end", async () => {
    registry.intercept = (_, response) => {
      response.writeHead(404);
      const write = (): void => void (response.destroyed || response.write("x".repeat(65_536), write));
      write();
      return true;
    };
    await expect(repository.fetchManifest("1")).rejects.toThrow(failure("not_found", "answers 404"));
  });

  it("tell a refused connection from a host that is not there", async () => {
    const { host } = elsewhere;
    await elsewhere[Symbol.asyncDispose]();
    const refused = client.repository({ domain: host, path: PATH });
    await expect(refused.resolve("1")).rejects.toThrow(failure("network", "refused"));
    elsewhere = await startRegistry();
  });
});

describe("repository()", () => {
  it.each([
    ["a.test", "../x"],
    ["a.test", "x/../y"],
    ["a.test", "X"],
    ["a.test", "x?y"],
    ["a.test", "x:1"],
    ["a.test/y", "x"],
    ["docker.io", "alpine"],
    ["a.test:99999", "x"],
    ["user@a.test", "x"],
    ["", "x"],
  ])("refuses %j with %j", (domain, path) => {
    expect(() => client.repository({ domain, path })).toThrow(failure("address_invalid"));
  });

  it.each([
    ["docker.io", "https://registry-1.docker.io"],
    ["ghcr.io", "https://ghcr.io"],
    ["localhost", "http://localhost"],
    ["localhost:5000", "http://localhost:5000"],
    ["127.1.2.3:5000", "http://127.1.2.3:5000"],
    ["[::1]:5000", "http://[::1]:5000"],
    ["[::2]:5000", "https://[::2]:5000"],
    ["128.0.0.1", "https://128.0.0.1"],
    ["localhost.example.org", "https://localhost.example.org"],
  ])("asks for %s at %s", async (domain, origin) => {
    const asked: string[] = [];
    const transport = createFetchTransport((request) => {
      asked.push(new URL(request.url).origin);
      return Promise.resolve(new Response("{}", { headers: { "content-type": OCI_MANIFEST } }));
    });
    await createRegistryClient({ transport }).repository({ domain, path: "library/x" }).fetchManifest("1");
    expect(asked).toEqual([origin]);
  });

  it("speaks plain HTTP exactly where it is told to", async () => {
    const asked: string[] = [];
    const transport = createFetchTransport((request) => {
      asked.push(request.url);
      return Promise.resolve(new Response("{}"));
    });
    const own = createRegistryClient({ transport, plainHttp: (host) => host === "plain.test:80" });
    await own.repository({ domain: "plain.test:80", path: "x" }).fetchManifest("1");
    await own.repository({ domain: "localhost", path: "x" }).fetchManifest("1");
    expect(asked).toEqual(["http://plain.test/v2/x/manifests/1", "https://localhost/v2/x/manifests/1"]);
  });

  it("gives nothing any more once the client is closed", async () => {
    await client.close();
    await client.close();
    await expect(repository.resolve("1")).rejects.toThrow();
  });
});

describe("parseChallenges()", () => {
  it("reads several challenges, quoted pairs and odd spacing", () => {
    const header = String.raw`Basic realm="a, \"b\"", Bearer  realm = "https://t/x" ,service=s,SCOPE="a b"`;
    expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual([
      ["basic", { realm: 'a, "b"' }],
      ["bearer", { realm: "https://t/x", service: "s", scope: "a b" }],
    ]);
  });

  it("answers at once to long nonsense", () => {
    const started = performance.now();
    for (const unit of ['"', "\\", "a", "a=", 'a="', ",", " ", '="\\'])
      parseChallenges(`Bearer ${unit.repeat(100_000)}`);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(parseChallenges("")).toEqual([]);
  });
});
