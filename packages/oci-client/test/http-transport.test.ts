import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as httpRequest, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from "../src/index.js";
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from "../src/testing.js";
import { failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

const QUICK = { baseMs: 1, capMs: 20 };
const hasOpenssl = canRun("openssl", "version");
if (!hasOpenssl) console.warn("SKIPPED: the tests of TLS need openssl, which is not installed");

let registry: TestRegistry;
const closing: (() => Promise<unknown>)[] = [];

function open(options: RegistryClientOptions = {}): RegistryClient {
  const client = createRegistryClient({ retry: QUICK, ...options });
  closing.push(() => client.close());
  return client;
}

async function startProxy(options: Partial<FaultProxyOptions> = {}): Promise<FaultProxy> {
  const proxy = await startFaultProxy({ upstream: registry.url, ...options });
  closing.push(() => proxy.close());
  return proxy;
}

function canRun(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

beforeEach(async () => {
  registry = await startRegistry();
});

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
  await registry[Symbol.asyncDispose]();
});

describe("connections", () => {
  it("are kept alive from one request to the next", async () => {
    const proxy = await startProxy();
    const layer = registry.addBlob(pseudoRandom(200_000));
    registry.addManifest("1", "{}");
    const repository = open().repository({ domain: proxy.host, path: PATH });
    await repository.resolve("1");
    await repository.fetchManifest("1");
    for (let count = 0; count < 5; count++) await readAll(repository.fetch(layer));
    expect(proxy.requests).toHaveLength(7);
    expect(proxy.connections).toBe(1);
  });

  it("that went stale are replaced without a failure", async () => {
    const proxy = await startProxy({ faults: [{ skip: 1, times: 1, action: { kind: "reset" } }] });
    const descriptor = registry.addManifest("1", "{}");
    const repository = open().repository({ domain: proxy.host, path: PATH });
    expect(await repository.resolve("1")).toEqual(descriptor);
    expect(await repository.resolve("1")).toEqual(descriptor);
    expect(proxy.connections).toBe(2);
  });
});

describe.skipIf(!hasOpenssl)("TLS", () => {
  let directory: string;
  let ca: string;

  function openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
  }

  async function issue(name: string, extensions: string): Promise<{ cert: string; key: string }> {
    await writeFile(join(directory, `${name}.ext`), extensions);
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.crt`,
    );
    const [cert, key] = await Promise.all([read(`${name}.crt`), read(`${name}.key`)]);
    return { cert, key };
  }

  function read(name: string): Promise<string> {
    return readFile(join(directory, name), "utf8");
  }

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lamella-tls-"));
    openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=test CA",
      "-keyout",
      "ca.key",
      "-out",
      "ca.crt",
    );
    ca = await read("ca.crt");
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("trusts an authority that is given for the host, and none without", async () => {
    const proxy = await startProxy({ tls: await issue("server", "subjectAltName=IP:127.0.0.1\n") });
    const descriptor = registry.addManifest("1", "{}");
    const asked: string[] = [];
    const tls = (host: string): { ca: string } => {
      asked.push(host);
      return { ca };
    };
    const plainHttp = (): boolean => false;
    const target = { domain: proxy.host, path: PATH };
    expect(await open({ tls, plainHttp }).repository(target).resolve("1")).toEqual(descriptor);
    expect(asked).toEqual([proxy.host]);
    const strangers = open({ plainHttp }).repository(target);
    await expect(strangers.resolve("1")).rejects.toThrow(failure("network", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"));
    expect(proxy.connections).toBe(2);
  });

  it("refuses a certificate for another host", async () => {
    const proxy = await startProxy({ tls: await issue("server", "subjectAltName=DNS:elsewhere.test\n") });
    const repository = open({ tls: () => ({ ca }), plainHttp: () => false }).repository({
      domain: proxy.host,
      path: PATH,
    });
    await expect(repository.resolve("1")).rejects.toThrow(failure("network", "ERR_TLS_CERT_ALTNAME_INVALID"));
  });

  it("shows the client's own certificate where one is asked for", async () => {
    const server = await issue("server", "subjectAltName=IP:127.0.0.1\n");
    const client = await issue("client", "extendedKeyUsage=clientAuth\n");
    const proxy = await startProxy({ tls: { ...server, clientCa: ca } });
    const descriptor = registry.addManifest("1", "{}");
    const target = { domain: proxy.host, path: PATH };
    const plainHttp = (): boolean => false;
    expect(
      await open({ tls: () => ({ ca, ...client }), plainHttp })
        .repository(target)
        .resolve("1"),
    ).toEqual(descriptor);
    const nameless = open({ tls: () => ({ ca }), plainHttp }).repository(target);
    await expect(nameless.resolve("1")).rejects.toThrow(failure("network"));
    expect(proxy.requests).toHaveLength(1);
  });

  it("never leads to plain HTTP", async () => {
    const faults = [{ action: { kind: "answer", status: 307, headers: { location: `${registry.url}/x` } } }] as const;
    const proxy = await startProxy({ tls: await issue("server", "subjectAltName=IP:127.0.0.1\n"), faults });
    const plainHttp = (host: string): boolean => host === registry.host;
    const repository = open({ tls: () => ({ ca }), plainHttp }).repository({ domain: proxy.host, path: PATH });
    await expect(repository.resolve("1")).rejects.toThrow(failure("redirect_refused", "from HTTPS to plain HTTP"));
    expect(registry.requests).toEqual([]);
  });
});

describe("proxies", () => {
  let forwarder: Server;
  let seen: string[];
  let authorization: (string | undefined)[];
  const sockets = new Set<Socket>();

  /** Every name leads to the test's registry. */
  beforeEach(async () => {
    seen = [];
    authorization = [];
    forwarder = createServer((incoming, response) => {
      seen.push(`${incoming.method} ${incoming.url}`);
      authorization.push(incoming.headers["proxy-authorization"]);
      const { pathname, search } = new URL(incoming.url ?? "");
      const headers = { ...incoming.headers };
      const outgoing = httpRequest(new URL(pathname + search, registry.url), { method: incoming.method, headers });
      outgoing.on("response", (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      outgoing.end();
    });
    forwarder.on("connect", (incoming, socket) => {
      seen.push(`CONNECT ${incoming.url}`);
      const upstream = connect(Number(new URL(tunnelled).port), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      for (const end of [upstream, socket]) end.on("error", () => {});
    });
    forwarder.on("connection", (socket: Socket) => sockets.add(socket));
    await new Promise<void>((resolve) => {
      forwarder.listen(0, "127.0.0.1", resolve);
    });
    closing.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        forwarder.close(resolve);
      });
    });
  });

  let tunnelled = "";

  function proxyUrl(user = ""): string {
    return `http://${user}127.0.0.1:${(forwarder.address() as AddressInfo).port}`;
  }

  it("carry plain HTTP to a host that only they can find", async () => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    const client = open({ proxy: { httpProxy: proxyUrl("user:pass@") }, plainHttp: () => true });
    const repository = client.repository({ domain: "registry.test", path: PATH });
    expect(digestOf(await readAll(repository.fetch(layer)))).toBe(layer.digest);
    expect(seen).toEqual([`GET http://registry.test/v2/${PATH}/blobs/${layer.digest}`]);
    expect(authorization).toEqual([`Basic ${Buffer.from("user:pass").toString("base64")}`]);
  });

  it("carry HTTPS in a tunnel that they cannot look into", async () => {
    const proxy = await startProxy();
    tunnelled = proxy.url;
    const client = open({ proxy: { httpsProxy: proxyUrl() } });
    const repository = client.repository({ domain: "registry.test", path: PATH });
    // What answers at the end of the tunnel speaks no TLS: that is found out by the client, not by the proxy.
    await expect(repository.resolve("1")).rejects.toThrow(failure("network"));
    expect(new Set(seen)).toEqual(new Set(["CONNECT registry.test:443"]));
    expect(proxy.connections).toBeGreaterThan(0);
  });

  it("are passed by for this machine, for what noProxy names, and when there are none", async () => {
    registry.addManifest("1", "{}");
    const local = open({ proxy: { httpProxy: proxyUrl() } }).repository({ domain: registry.host, path: PATH });
    await local.resolve("1");
    for (const proxy of [{ httpProxy: proxyUrl(), noProxy: ".invalid" }, false] as const) {
      const client = open({ proxy, plainHttp: () => true, retry: { ...QUICK, attempts: 1 } });
      const repository = client.repository({ domain: "registry.invalid", path: PATH });
      await expect(repository.resolve("1")).rejects.toThrow(failure("network", "the host was not found"));
    }
    expect(seen).toEqual([]);
  });
});
