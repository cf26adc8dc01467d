import { digestOf, type RefsError } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type Mirror, type Notice, parseHostsToml, type Repository } from "../src/index.js";
import { type FaultProxy, startFaultProxy } from "../src/testing.js";
import { failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

let registry: TestRegistry;
let mirror: FaultProxy;
let origin: FaultProxy;
let notices: Notice[];
const closing: (() => Promise<unknown>)[] = [];

function open(mirrors: readonly Mirror[]): Repository {
  const client = createRegistryClient({
    retry: { attempts: 2, baseMs: 1, capMs: 5 },
    mirrors: (host) => (host === origin.host ? mirrors : []),
    onNotice: (notice) => void notices.push(notice),
  });
  closing.push(() => client.close());
  return client.repository({ domain: origin.host, path: PATH });
}

beforeEach(async () => {
  registry = await startRegistry();
  mirror = await startFaultProxy({ upstream: registry.url });
  origin = await startFaultProxy({ upstream: registry.url });
  notices = [];
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await Promise.all([mirror.close(), origin.close()]);
  await registry[Symbol.asyncDispose]();
});

function methods(proxy: FaultProxy): string[] {
  return proxy.requests.map(({ method }) => method);
}

describe("mirrors", () => {
  it("serve what their capabilities say, and the registry the rest", async () => {
    const descriptor = registry.addManifest("1", "{}");
    const layer = registry.addBlob(pseudoRandom(1000));
    const repository = open([{ url: mirror.url, capabilities: ["pull"] }]);
    expect(await repository.resolve("1")).toEqual(descriptor);
    expect([methods(mirror), methods(origin)]).toEqual([[], ["HEAD"]]);
    await repository.fetchManifest(descriptor);
    await readAll(repository.fetch(descriptor));
    await readAll(repository.fetch(layer));
    await readAll(repository.fetchRange(layer, { offset: 5, length: 5 }));
    expect([methods(mirror), methods(origin)]).toEqual([["GET", "GET", "GET", "GET"], ["HEAD"]]);
    await open([{ url: mirror.url, capabilities: ["resolve"] }]).resolve("1");
    await readAll(open([{ url: mirror.url, capabilities: ["resolve"] }]).fetch(layer));
    expect([methods(mirror).length, methods(origin)]).toEqual([5, ["HEAD", "GET"]]);
    expect(notices).toEqual([]);
  });

  it("are told which registry they stand in for, the registry itself is not", async () => {
    const descriptor = registry.addManifest("1", "{}");
    const layer = registry.addBlob(pseudoRandom(1000));
    const repository = open([{ url: mirror.url, capabilities: ["pull", "resolve"] }]);
    await repository.resolve("1");
    await repository.fetchManifest(descriptor);
    await readAll(repository.fetch(layer));
    const queries = mirror.requests.map(({ path }) => new URL(path, mirror.url).searchParams.get("ns"));
    expect(queries).toEqual([origin.host, origin.host, origin.host]);
    await readAll(open([]).fetch(layer));
    await readAll(open([{ url: origin.url, capabilities: ["pull"] }]).fetch(layer));
    expect(origin.requests.map(({ path }) => path.includes("ns="))).toEqual([false, false]);
  });

  it("put their prefix before the repository", async () => {
    registry.addManifest("1", "{}");
    const path = `/v2/${PATH}/manifests/1`;
    mirror.setFaults([{ action: { kind: "forward", path } }]);
    await open([{ url: `${mirror.url}/v2/hub/proxy/`, capabilities: ["resolve"] }]).resolve("1");
    expect(mirror.requests.map((request) => request.path.split("?")[0])).toEqual([`/v2/hub/proxy/${PATH}/manifests/1`]);
    expect(origin.requests).toEqual([]);
  });

  it.each([
    ["answer 404", { kind: "answer", status: 404 }, "not_found"],
    ["are broken", { kind: "reset" }, "network"],
    ["lie about content", { kind: "corrupt", atByte: 0 }, "digest_mismatch"],
  ] as const)("that %s are passed over, with a notice", async (_, action, code) => {
    const descriptor = registry.addManifest("1", "{}");
    mirror.setFaults([{ action }]);
    const repository = open([{ url: mirror.url, capabilities: ["pull", "resolve"] }]);
    expect((await repository.fetchManifest(descriptor)).descriptor).toEqual(descriptor);
    expect(notices).toEqual([{ kind: "mirror_failed", host: mirror.host, error: failure(code) }]);
  });

  it("that break for good in the middle of a blob are followed by the registry, where they ended", async () => {
    const layer = registry.addBlob(pseudoRandom(300_000));
    mirror.setFaults([{ times: 1, action: { kind: "reset", afterBytes: 100_000 } }, { action: { kind: "reset" } }]);
    const repository = open([{ url: mirror.url, capabilities: ["pull"] }]);
    expect(digestOf(await readAll(repository.fetch(layer)))).toBe(layer.digest);
    expect(origin.requests.map(({ range }) => range)).toEqual(["bytes=100000-"]);
    expect(notices).toEqual([{ kind: "mirror_failed", host: mirror.host, error: failure("network") }]);
  });

  it("never get a push, and a signal ends the search", async () => {
    const bytes = pseudoRandom(10);
    const repository = open([{ url: mirror.url, capabilities: ["pull", "resolve"] }]);
    const descriptor = { mediaType: "application/octet-stream", digest: digestOf(bytes), size: 10 };
    await repository.push(
      descriptor,
      (async function* () {
        yield bytes;
      })(),
    );
    expect(mirror.requests).toEqual([]);
    const reason = new Error("stop");
    await expect(repository.resolve("1", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(notices).toEqual([]);
  });

  it.each([
    "mirror.example",
    "ftp://mirror.example",
    "https://mirror.example/x",
    "https://m.example/v2/../x",
    "https://u:p@m.example",
  ])("cannot be at %s", (url) => {
    expect(() => open([{ url, capabilities: ["pull"] }])).toThrow(failure("address_invalid"));
  });
});

describe("parseHostsToml()", () => {
  it("reads the subset that it documents, in order", () => {
    const config = parseHostsToml(`
      server = "https://registry-1.docker.io" # the registry itself

      [host."https://mirror.example"]
        capabilities = ["pull", "resolve", "push"]
        ca = "/etc/ca.pem"
        client = [["/etc/client.pem", "/etc/client.key"]]

      [host.'http://10.0.0.1:5000/v2/hub']
        capabilities = [
          "pull", # nothing else
        ]
        override_path = true
        skip_verify = false
      [host."https://last.example"]
    `);
    expect(config).toEqual({
      server: "https://registry-1.docker.io",
      mirrors: [
        { url: "https://mirror.example", capabilities: ["pull", "resolve"] },
        { url: "http://10.0.0.1:5000/v2/hub", capabilities: ["pull"] },
        { url: "https://last.example", capabilities: ["pull", "resolve"] },
      ],
      tlsFiles: new Map([["mirror.example", { ca: ["/etc/ca.pem"], cert: "/etc/client.pem", key: "/etc/client.key" }]]),
    });
  });

  it.each([
    ["an unknown key", '[host."https://a.example"]\nfallback = true', 2],
    ["a header", '[host."https://a.example"]\nheader = "x"', 2],
    ["TLS that is not checked", '[host."https://a.example"]\nskip_verify = true', 2],
    ["an unknown capability", '[host."https://a.example"]\ncapabilities = ["fly"]', 2],
    ["another table", "[plugins]", 1],
    ["a table twice", '[host."https://a.example"]\n[host."https://a.example"]', 2],
    ["a key twice", '[host."https://a.example"]\nca = "x"\nca = "y"', 3],
    ["a value that is none", "server = https://a.example", 1],
    ["a list without end", '[host."https://a.example"]\ncapabilities = ["pull"', 2],
    ["a string without end", 'server = "https://a.example', 1],
    ["a path that is put behind", '[host."https://a.example/hub"]', 1],
    ["what is no URL", '[host."a"]', 1],
    ["nonsense", "\n\n= 1", 3],
  ])("refuses %s, naming the line", (_, text, line) => {
    let error: RefsError | undefined;
    try {
      parseHostsToml(text);
    } catch (thrown) {
      error = thrown as RefsError;
    }
    expect(error).toEqual(failure("config_invalid", `line ${line}:`));
  });

  it("takes no more than its limit", () => {
    expect(() => parseHostsToml("#".repeat(300_000))).toThrow(failure("config_invalid", "262144"));
  });
});
