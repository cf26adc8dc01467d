/** Bad answers and a failing network: each test is named by its row of the project's list of bad inputs. */
import { randomBytes } from "node:crypto";

import { type Descriptor, digestOf, OCI_INDEX, OCI_MANIFEST, parseIndex, parseManifest } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  createRegistryClient,
  type Notice,
  type RegistryClient,
  type RegistryClientOptions,
  type Repository,
} from "../src/index.js";
import { type Fault, type FaultProxy, startFaultProxy } from "../src/testing.js";
import {
  bytesOf,
  failure,
  imageManifest,
  PATH,
  pseudoRandom,
  readAll,
  startRegistry,
  type TestRegistry,
} from "./registry-server.js";

const QUICK = { baseMs: 1, capMs: 20 };

let registry: TestRegistry;
let proxy: FaultProxy;
const closing: (() => Promise<unknown>)[] = [];

function open(options: RegistryClientOptions = {}, host: string = proxy.host): Repository {
  const client: RegistryClient = createRegistryClient({ retry: QUICK, ...options });
  closing.push(() => client.close());
  return client.repository({ domain: host, path: PATH });
}

beforeEach(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy({ upstream: registry.url });
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await proxy.close();
  await registry[Symbol.asyncDispose]();
});

describe("E: what a registry says", () => {
  it("E74 refuses a blob and a manifest that are not their digests", async () => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    const manifest = registry.addManifest("1", "{}");
    proxy.setFaults([{ action: { kind: "corrupt", atByte: 1 } }]);
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure("digest_mismatch"));
    await expect(open().fetchManifest(manifest)).rejects.toThrow(failure("digest_mismatch"));
    await expect(open().fetchManifest(manifest.digest)).rejects.toThrow(failure("digest_mismatch"));
  });

  it.each(["sha256:../../x", `sha256:${"A".repeat(64)}`, `md5:${"a".repeat(32)}`, `sha256:${"a".repeat(63)}`])(
    "E76 asks nothing for the digest %s, whoever names it",
    async (digest) => {
      await expect(open().fetchManifest(digest)).rejects.toThrow(failure("address_invalid"));
      const config = registry.addBlob(bytesOf("{}"));
      const layer = { ...config, digest: digest as Descriptor["digest"] };
      const { bytes } = await open().fetchManifest(registry.addManifest("1", imageManifest(config, [layer])));
      const requests = proxy.requests.length;
      expect(() => parseManifest(bytes, OCI_MANIFEST)).toThrow(failure("document_invalid"));
      expect(proxy.requests).toHaveLength(requests);
    },
  );

  it.each([
    ["longer", { kind: "extend", bytes: 1 }],
    ["shorter", { kind: "truncate", afterBytes: 50_000 }],
  ] as const)("E77 refuses a body that is %s than its size", async (_, action) => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    proxy.setFaults([{ hasRange: true, action: { kind: "answer", status: 416 } }, { action }]);
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure("size_mismatch"));
  });

  it.each([-1, 2 ** 60])("E77 refuses a descriptor of %d bytes", async (size) => {
    const config = registry.addBlob(bytesOf("{}"));
    registry.addManifest("1", imageManifest(config, [{ ...config, size }]));
    const { bytes } = await open().fetchManifest("1");
    expect(() => parseManifest(bytes, OCI_MANIFEST)).toThrow(failure("document_invalid"));
  });

  it("E78 refuses a document that is two things, or not what its Content-Type says", async () => {
    const config = registry.addBlob(bytesOf("{}"));
    const both = { ...imageManifest(config, []), manifests: [] };
    registry.addManifest("1", both);
    const { descriptor, bytes } = await open().fetchManifest("1");
    expect(() => parseManifest(bytes, descriptor.mediaType)).toThrow(failure("document_invalid"));
    registry.addManifest("2", imageManifest(config, []), OCI_INDEX);
    const other = await open().fetchManifest("2");
    expect(() => parseIndex(other.bytes, other.descriptor.mediaType)).toThrow(failure("document_invalid"));
  });

  it("E79 refuses a document over 4 MiB without reading on", async () => {
    registry.addManifest("1", "{}");
    proxy.setFaults([{ action: { kind: "extend", bytes: 32 * 1024 * 1024 } }]);
    await expect(open().fetchManifest("1")).rejects.toThrow(failure("too_large", "4194304"));
    expect(proxy.requests).toHaveLength(1);
  });

  it("E80 refuses an index of 10,000 children", async () => {
    const child = registry.addManifest("1", "{}");
    const manifests = Array.from({ length: 10_000 }, () => child);
    registry.addManifest("2", { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX);
    const { bytes } = await open().fetchManifest("2");
    expect(() => parseIndex(bytes, OCI_INDEX)).toThrow(failure("document_invalid"));
  });

  it("E82 takes 127 layers and refuses 5,000", async () => {
    const config = registry.addBlob(bytesOf("{}"));
    const of = (count: number): object =>
      imageManifest(
        config,
        Array.from({ length: count }, () => config),
      );
    registry.addManifest("1", of(127));
    registry.addManifest("2", of(5000));
    const [some, many] = [await open().fetchManifest("1"), await open().fetchManifest("2")];
    // E83: the same layer twice stays at both positions.
    expect(parseManifest(some.bytes, OCI_MANIFEST).layers).toHaveLength(127);
    expect(() => parseManifest(many.bytes, OCI_MANIFEST)).toThrow(failure("document_invalid"));
  });

  it("E84 sends no token to another host, and nothing at all to a link-local one", async () => {
    const layer = registry.addBlob(pseudoRandom(1000));
    const other = await startFaultProxy({ upstream: registry.url });
    closing.push(() => other.close());
    const gated = await startFaultProxy({ upstream: registry.url, tokenUses: 5 });
    closing.push(() => gated.close());
    const location = `${other.url}/v2/${PATH}/blobs/${layer.digest}`;
    gated.setFaults([{ path: /blobs/, action: { kind: "answer", status: 307, headers: { location } } }]);
    expect(await readAll(open({}, gated.host).fetch(layer))).toHaveLength(1000);
    expect(gated.requests.at(-1)?.headers.authorization).toBe("Bearer token-0");
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    for (const target of [
      "http://169.254.169.254/latest/meta-data",
      "http://[fe80::1]/",
      "http://[::ffff:a9fe:a9fe]/",
    ]) {
      proxy.setFaults([{ action: { kind: "answer", status: 307, headers: { location: target } } }]);
      const repository = open({ plainHttp: () => true });
      await expect(readAll(repository.fetch(layer))).rejects.toThrow(failure("redirect_refused", "link-local"));
    }
  });

  it("E85 keeps odd keys inert and refuses deep JSON", async () => {
    const config = registry.addBlob(bytesOf("{}"));
    const text = JSON.stringify(imageManifest(config, []));
    registry.addManifest("1", `{"__proto__":{"polluted":1},${text.slice(1)}`);
    registry.addManifest("2", `${"[".repeat(100_000)}${"]".repeat(100_000)}`);
    const [odd, deep] = [await open().fetchManifest("1"), await open().fetchManifest("2")];
    expect(parseManifest(odd.bytes, OCI_MANIFEST).layers).toEqual([]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(() => parseManifest(deep.bytes, OCI_MANIFEST)).toThrow(failure("document_invalid"));
  });
});

describe("G: how a network fails", () => {
  it.each([
    ["reset", { kind: "reset", afterBytes: 100_000 }],
    ["truncated", { kind: "truncate", afterBytes: 100_000 }],
  ] as const)("G96 resumes by range a body that is %s, again and again", async (_, action) => {
    const layer = registry.addBlob(randomBytes(4_000_000));
    proxy.setFaults([{ times: 2, action }]);
    expect(digestOf(await readAll(open().fetch(layer)))).toBe(layer.digest);
    expect(proxy.requests.map(({ range }) => range)).toEqual([undefined, "bytes=100000-", "bytes=200000-"]);
    expect(proxy.sentBytes()).toBe(layer.size);
  });

  it.each([
    ["200 for 206", { kind: "ignore_range" }],
    ["a wrong Content-Range", { kind: "headers", set: { "content-range": "bytes 0-9/4000000" } }],
    ["no Content-Range", { kind: "headers", set: { "content-range": undefined } }],
  ] as const)("G97 splices nothing on when a range is answered with %s", async (_, action) => {
    const layer = registry.addBlob(randomBytes(4_000_000));
    proxy.setFaults([
      { times: 1, action: { kind: "reset", afterBytes: 100_000 } },
      { hasRange: true, action },
    ]);
    expect(digestOf(await readAll(open().fetch(layer)))).toBe(layer.digest);
  });

  it.each([
    ["stalls before its headers", { kind: "stall" }, "sent no answer within 100 ms"],
    ["stalls in its body", { kind: "stall", afterBytes: 1000 }, "stalled for 100 ms"],
    ["trickles", { kind: "trickle", bytes: 1, everyMs: 10 }, "stalled for 100 ms"],
  ] as const)("G98 ends an answer that %s", async (_, action, message) => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    proxy.setFaults([{ action }]);
    // the other one is not what is looked for, whatever else the machine does
    const timeouts = message.startsWith("stalled")
      ? { headersMs: 5000, bodyMs: 100 }
      : { headersMs: 100, bodyMs: 5000 };
    const repository = open({ timeouts, retry: { ...QUICK, attempts: 2 } });
    await expect(readAll(repository.fetch(layer))).rejects.toThrow(failure("timeout", message));
    expect(proxy.requests).toHaveLength(2);
  });

  it("G98 goes on after a stall where it ended", async () => {
    const layer = registry.addBlob(pseudoRandom(300_000));
    proxy.setFaults([{ times: 1, action: { kind: "stall", afterBytes: 100_000 } }]);
    const repository = open({ timeouts: { bodyMs: 100 } });
    expect(digestOf(await readAll(repository.fetch(layer)))).toBe(layer.digest);
    expect(proxy.sentBytes()).toBe(layer.size);
  });

  it.each([
    ["429", "2"],
    ["503", new Date(Date.now() + 86_400_000).toUTCString()],
    ["429", "99999999999999999999"],
    ["503", "-1"],
    ["429", "soon"],
    ["503", ""],
  ])("G99 outlasts a storm of %s with Retry-After %j, waiting no longer than its cap", async (status, value) => {
    const descriptor = registry.addManifest("1", "{}");
    const answer: Fault["action"] = { kind: "answer", status: Number(status), headers: { "retry-after": value } };
    proxy.setFaults([{ times: 4, action: answer }]);
    const waits: number[] = [];
    let now = 0;
    const sleep = async (ms: number): Promise<void> => {
      waits.push(ms);
      now += ms;
    };
    const retry = { attempts: 5, baseMs: 100, capMs: 3000, random: () => 0.5, now: () => now, sleep };
    expect(await open({ retry }).resolve("1")).toEqual(descriptor);
    expect(waits).toHaveLength(4);
    expect(Math.max(...waits)).toBeLessThanOrEqual(3000);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(75);
  });

  it("G99 holds back every request to the host that asked for it, and no other", async () => {
    registry.addManifest("1", "{}");
    const other = await startFaultProxy({ upstream: registry.url });
    closing.push(() => other.close());
    const headers = { "retry-after": "7" };
    proxy.setFaults([{ times: 1, action: { kind: "answer", status: 429, headers } }]);
    const waits: number[] = [];
    let now = 0;
    const notices: Notice[] = [];
    const client = createRegistryClient({
      retry: {
        attempts: 1,
        random: () => 0,
        now: () => now,
        sleep: async (ms) => {
          waits.push(ms);
          now += ms;
        },
      },
      onNotice: (notice) => void notices.push(notice),
    });
    closing.push(() => client.close());
    const [slow, free] = [proxy, other].map(({ host }) => client.repository({ domain: host, path: PATH }));
    await expect(slow?.resolve("1")).rejects.toThrow(failure("rate_limited"));
    await free?.resolve("1");
    expect(waits).toEqual([]);
    await slow?.fetchManifest("1");
    expect(waits).toEqual([7000]);
    expect(notices).toEqual([{ kind: "throttled", host: proxy.host, waitMs: 7000 }]);
  });

  it("G99 can be cancelled while it waits, in its own turn and in that of another request", async () => {
    registry.addManifest("1", "{}");
    proxy.setFaults([{ action: { kind: "answer", status: 503, headers: { "retry-after": "30" } } }]);
    const repository = open({ retry: { capMs: 60_000 } });
    for (const _ of ["its own", "another's"]) {
      const reason = new Error("stop");
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 50);
      await expect(repository.resolve("1", { signal: controller.signal })).rejects.toBe(reason);
    }
    expect(proxy.requests).toHaveLength(1);
  });

  it("G100 stops at a loop of redirects, and at one to plain HTTP where that is not allowed", async () => {
    const layer = registry.addBlob(pseudoRandom(10));
    const path = `/v2/${PATH}/blobs/${layer.digest}`;
    proxy.setFaults([{ action: { kind: "answer", status: 302, headers: { location: path } } }]);
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure("redirect_refused", "more than 10 times"));
    expect(proxy.requests).toHaveLength(11);
    const location = `http://registry.example${path}`;
    proxy.setFaults([{ action: { kind: "answer", status: 302, headers: { location } } }]);
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure("redirect_refused", "plain HTTP"));
  });

  it("G101 gets one new token when one expires in the middle of a layer", async () => {
    const layer = registry.addBlob(randomBytes(3_000_000));
    const gated = await startFaultProxy({ upstream: registry.url, tokenUses: 1 });
    closing.push(() => gated.close());
    gated.setFaults([{ path: /blobs/, times: 3, action: { kind: "reset", afterBytes: 1_000_000 } }]);
    const { digest } = layer;
    expect(digestOf(await readAll(open({ retry: { ...QUICK, attempts: 5 } }, gated.host).fetch(layer)))).toBe(digest);
    expect(gated.requests.filter(({ status }) => status === 206).length).toBeGreaterThan(0);
    const parts = gated.requests.filter(({ path, status }) => path.includes("blobs") && status !== 401).length;
    expect(gated.tokens).toBe(parts);
  });

  it("G101 gives up with an error of authorisation when no token is ever good", async () => {
    const layer = registry.addBlob(pseudoRandom(10));
    const gated = await startFaultProxy({ upstream: registry.url, tokenUses: 0 });
    closing.push(() => gated.close());
    await expect(readAll(open({}, gated.host).fetch(layer))).rejects.toThrow(failure("unauthorized"));
    expect(gated.tokens).toBe(1);
  });

  it("G102 goes by the digest that a tag had when it was resolved", async () => {
    const first = registry.addManifest("1", '{"a":1}');
    registry.addManifest("2", '{"a":2}');
    const repository = open();
    const resolved = await repository.resolve("1");
    proxy.setFaults([{ path: /manifests\/1$/, action: { kind: "forward", path: `/v2/${PATH}/manifests/2` } }]);
    expect(resolved).toEqual(first);
    expect((await repository.fetchManifest(resolved)).bytes).toEqual(bytesOf('{"a":1}'));
    expect((await repository.fetchManifest("1")).bytes).toEqual(bytesOf('{"a":2}'));
  });
});
