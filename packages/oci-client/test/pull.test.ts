import { getEventListeners } from "node:events";

import { type CallOptions, digestOf, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "@lamella/refs";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  createRegistryClient,
  type RegistryClient,
  type RegistryClientOptions,
  type Repository,
} from "../src/index.js";
import {
  bytesOf,
  failure,
  imageManifest,
  PATH,
  pseudoRandom,
  readAll,
  sendCut,
  sendError,
  startRegistry,
  type TestRegistry,
} from "./registry-server.js";

const QUICK = { baseMs: 1, capMs: 20 };

let registry: TestRegistry;
const clients: RegistryClient[] = [];

function open(options: RegistryClientOptions = {}): Repository {
  const client = createRegistryClient({ retry: QUICK, ...options });
  clients.push(client);
  return client.repository({ domain: registry.host, path: PATH });
}

async function readTags(repository: Repository, options: CallOptions = {}): Promise<string[]> {
  const tags: string[] = [];
  for await (const tag of repository.tags(options)) tags.push(tag);
  return tags;
}

beforeEach(async () => {
  registry = await startRegistry();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await registry[Symbol.asyncDispose]();
});

describe("resolve()", () => {
  it("gives digest, size and media type with one HEAD", async () => {
    const descriptor = registry.addManifest("1", "{}", OCI_INDEX);
    expect(await open().resolve("1")).toEqual(descriptor);
    expect(await open().resolve(descriptor.digest)).toEqual(descriptor);
    expect(registry.requests.map(({ method }) => method)).toEqual(["HEAD", "HEAD"]);
    expect(registry.requests[0]?.headers.accept).toContain(OCI_INDEX);
    expect(registry.requests[0]?.headers.authorization).toBeUndefined();
  });

  it.each([
    ["has no digest", { "content-type": OCI_MANIFEST, "content-length": "2" }, 200],
    [
      "has no useful type",
      { "content-type": "text/plain", "docker-content-digest": digestOf(bytesOf("{}")), "content-length": "2" },
      200,
    ],
    ["is not allowed", {}, 405],
  ])("reads the manifest itself when the answer to HEAD %s", async (_, headers, status) => {
    const descriptor = registry.addManifest("1", "{}");
    registry.intercept = ({ method }, response) => {
      if (method === "HEAD") response.writeHead(status, headers).end();
      return method === "HEAD";
    };
    expect(await open().resolve("1")).toEqual(descriptor);
  });

  it("goes by the document when no header names its type", async () => {
    const descriptor = registry.addManifest("1", { mediaType: DOCKER_MANIFEST }, "application/octet-stream");
    expect(await open().resolve("1")).toEqual({ ...descriptor, mediaType: DOCKER_MANIFEST });
  });

  it("refuses a manifest that is not its digest", async () => {
    const { digest } = registry.addManifest("1", "{}");
    registry.manifests.set(digest, { bytes: bytesOf("{ }"), mediaType: OCI_MANIFEST });
    await expect(open().resolve(digest)).rejects.toThrow(failure("digest_mismatch"));
  });

  it.each(["", "../x", "a/b", "sha256:../../x", "x".repeat(129), "a?b", "a#b"])(
    "sends nothing for the name %j",
    async (name) => {
      await expect(open().resolve(name)).rejects.toThrow(failure("address_invalid"));
      expect(registry.requests).toEqual([]);
    },
  );

  it("names the repository, the registry and the state of what is not there", async () => {
    await expect(open().fetchManifest("9")).rejects.toThrow(
      failure(
        "not_found",
        `cannot read manifest 9 in ${registry.host}/${PATH}: ${registry.url} answers 404 (MANIFEST_UNKNOWN: "no")`,
      ),
    );
  });
});

describe("fetchManifest()", () => {
  it("reads by tag and by descriptor with one GET each", async () => {
    const descriptor = registry.addManifest("1", "{}");
    const promised = { ...descriptor, annotations: { a: "b" } };
    expect(await open().fetchManifest("1")).toEqual({ descriptor, bytes: bytesOf("{}") });
    expect(await open().fetchManifest(promised)).toEqual({ descriptor: promised, bytes: bytesOf("{}") });
    expect(registry.requests).toHaveLength(2);
  });

  it("refuses an answer over 4 MiB and does not read it to its end", async () => {
    let sent = 0;
    registry.intercept = (_, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST });
      const write = (): void => {
        if (response.destroyed) return;
        sent += 65_536;
        response.write(new Uint8Array(65_536), write);
      };
      write();
      return true;
    };
    await expect(open().fetchManifest("1")).rejects.toThrow(failure("too_large", "4194304"));
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });
});

describe("fetch()", () => {
  it("streams a whole image, in chunks of 64 KiB or more", async () => {
    const bytes = pseudoRandom(3_000_000);
    const [config, layer] = [registry.addBlob(bytesOf("{}")), registry.addBlob(bytes)];
    registry.addManifest("1", imageManifest(config, [layer]));
    const repository = open();
    const manifest = await readAll(repository.fetch(await repository.resolve("1")));
    expect(JSON.parse(new TextDecoder().decode(manifest))).toMatchObject({ layers: [layer] });
    const sizes: number[] = [];
    for await (const chunk of repository.fetch(layer)) sizes.push(chunk.byteLength);
    expect(sizes.slice(0, -1).every((size) => size >= 65_536)).toBe(true);
    expect(digestOf(await readAll(repository.fetch(layer)))).toBe(layer.digest);
    expect(await readAll(repository.fetch(registry.addBlob(new Uint8Array())))).toHaveLength(0);
  });

  it.each([
    ["longer", (bytes: Uint8Array) => Buffer.concat([bytes, bytes]), "size_mismatch"],
    ["shorter", (bytes: Uint8Array) => bytes.subarray(1), "size_mismatch"],
    ["empty", (bytes: Uint8Array) => bytes.subarray(0, 0), "size_mismatch"],
    ["another", (bytes: Uint8Array) => bytes.toReversed(), "digest_mismatch"],
  ])("refuses a blob that is %s", async (_, change, code) => {
    const bytes = pseudoRandom(100_000);
    const layer = registry.addBlob(bytes);
    registry.blobs.set(layer.digest, change(bytes));
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure(code));
    expect(registry.requests.length).toBeLessThanOrEqual(2);
  });

  it("uses the memory of chunks again when they are lent, and only then", async () => {
    const bytes = pseudoRandom(8_000_000);
    const layer = registry.addBlob(bytes);
    const kept: Uint8Array[] = [];
    for await (const chunk of open().fetch(layer)) kept.push(chunk);
    const slabs = new Set<ArrayBufferLike>();
    const lent = Buffer.alloc(bytes.length);
    let at = 0;
    for await (const chunk of open().fetch(layer, { isLent: true })) {
      slabs.add(chunk.buffer);
      lent.set(chunk, at);
      at += chunk.byteLength;
    }
    expect(lent.equals(bytes)).toBe(true);
    expect(slabs.size).toBeLessThan(bytes.length / 2 ** 20 - 2);
    expect(Buffer.concat(kept).equals(bytes)).toBe(true);
  });

  it("takes up a broken body where it ended", async () => {
    const bytes = pseudoRandom(500_000);
    const layer = registry.addBlob(bytes);
    let cuts = 0;
    registry.intercept = (request, response) => {
      if (cuts === 2) return false;
      const start = Number(/[0-9]+/.exec(request.headers.range ?? "0")?.[0]);
      const range = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
      const headers = { "content-length": bytes.length - start, ...(start > 0 && range) };
      sendCut(response, bytes.subarray(start, start + 100_000), headers, start > 0 ? 206 : 200);
      cuts++;
      return true;
    };
    expect(digestOf(await readAll(open().fetch(layer)))).toBe(layer.digest);
    expect(registry.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      "bytes=100000-",
      "bytes=200000-",
    ]);
  });

  it("gives the same bytes wherever the connection breaks, and however ranges are answered", async () => {
    const bytes = pseudoRandom(300_000);
    const layer = registry.addBlob(bytes);
    const repository = open({ retry: { ...QUICK, baseMs: 0, attempts: 20 } });
    const cut = fc.record({ length: fc.integer({ min: 1, max: 100_000 }), heedsRange: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 4 }), async (cuts) => {
        const left = [...cuts];
        registry.intercept = (request, response) => {
          const next = left.shift();
          if (next === undefined) return false;
          const asked = Number(/[0-9]+/.exec(request.headers.range ?? "0")?.[0]);
          const start = next.heedsRange ? asked : 0;
          const range = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
          const headers = { "content-length": bytes.length - start, ...(start > 0 && range) };
          sendCut(response, bytes.subarray(start, start + next.length), headers, start > 0 ? 206 : 200);
          return true;
        };
        expect(digestOf(await readAll(repository.fetch(layer)))).toBe(layer.digest);
      }),
      { numRuns: 25 },
    );
  });

  it.each([
    ["is ignored", {}, 200],
    ["is answered with another one", { "content-range": "bytes 0-499999/500000" }, 206],
    ["is answered with one of another whole", { "content-range": "bytes 100000-499999/600000" }, 206],
    ["is answered without one", {}, 206],
  ])("joins nothing wrong on when the range %s", async (_, headers, status) => {
    const bytes = pseudoRandom(500_000);
    const layer = registry.addBlob(bytes);
    registry.intercept = (request, response) => {
      if (registry.requests.length === 1)
        sendCut(response, bytes.subarray(0, 100_000), { "content-length": bytes.length });
      else if (request.headers.range !== undefined) response.writeHead(status, headers).end(bytes);
      else return false;
      return true;
    };
    expect(digestOf(await readAll(open().fetch(layer)))).toBe(layer.digest);
  });

  it("gives up after three tries that bring little", async () => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    registry.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    await expect(readAll(open().fetch(layer))).rejects.toThrow(failure("network", "the connection broke"));
    expect(registry.requests).toHaveLength(3);
  });

  it("frees the connection when its reader stops early", async () => {
    const layer = registry.addBlob(pseudoRandom(20_000_000));
    for await (const chunk of open().fetch(layer)) {
      expect(chunk.byteLength).toBeGreaterThan(0);
      break;
    }
    expect(await readAll(open().fetch(registry.addBlob(bytesOf("x"))))).toHaveLength(1);
  });

  it("waits for a slow reader without a timeout", async () => {
    const layer = registry.addBlob(pseudoRandom(4_000_000));
    let size = 0;
    for await (const chunk of open({ timeouts: { bodyMs: 60 } }).fetch(layer)) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 200));
      size += chunk.byteLength;
    }
    expect(size).toBe(4_000_000);
  });
});

describe("timeouts", () => {
  it("end headers that never come", async () => {
    registry.intercept = () => true;
    const repository = open({ timeouts: { headersMs: 50 }, retry: { ...QUICK, attempts: 1 } });
    await expect(repository.resolve("1")).rejects.toThrow(failure("timeout", "sent no answer within 50 ms"));
  });

  it("end a body that stalls and one that trickles", async () => {
    const layer = registry.addBlob(pseudoRandom(100_000));
    const repository = open({ timeouts: { bodyMs: 100 }, retry: { ...QUICK, attempts: 1 } });
    for (const everyMs of [100_000, 10]) {
      let timer: NodeJS.Timeout | undefined;
      registry.intercept = (_, response) => {
        response.writeHead(200, { "content-length": 100_000 }).flushHeaders();
        timer = setInterval(() => response.write("x"), everyMs);
        return true;
      };
      await expect(readAll(repository.fetch(layer))).rejects.toThrow(failure("timeout", "stalled for 100 ms"));
      clearInterval(timer);
    }
  });
});

describe("retry", () => {
  it.each([429, 500, 502, 503, 504])("tries %d again, three times in all", async (status) => {
    const descriptor = registry.addManifest("1", "{}");
    registry.intercept = (_, response) => {
      if (registry.requests.length > 2) return false;
      sendError(response, status, "TOOMANYREQUESTS");
      return true;
    };
    expect((await open().fetchManifest("1")).descriptor).toEqual(descriptor);
    registry.requests.length = 0;
    registry.intercept = (_, response) => {
      sendError(response, status, "TOOMANYREQUESTS");
      return true;
    };
    const code = status === 429 ? "rate_limited" : "unavailable";
    await expect(open().fetchManifest("1")).rejects.toThrow(expect.objectContaining({ code, status }));
    expect(registry.requests).toHaveLength(3);
  });

  it.each([400, 401, 403, 404, 405, 418])("does not try %d again", async (status) => {
    registry.intercept = (_, response) => {
      sendError(response, status, "DENIED");
      return true;
    };
    await expect(open().fetchManifest("1")).rejects.toThrow(expect.objectContaining({ status }));
    expect(registry.requests).toHaveLength(1);
  });

  it.each([
    ["3", 3000],
    ["0", 100],
    ["99999999999", 20_000],
    [new Date(Date.now() + 5_000_000).toUTCString(), 20_000],
    ["-5", 100],
    ["soon", 100],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 100],
  ])("waits as Retry-After %j asks, up to a cap", async (value, waitMs) => {
    registry.addManifest("1", "{}");
    registry.intercept = (_, response) => {
      if (registry.requests.length > 1) return false;
      response.writeHead(429, { "retry-after": value }).end();
      return true;
    };
    const waits: number[] = [];
    let now = 0;
    const sleep = async (ms: number): Promise<void> => {
      waits.push(ms);
      now += ms;
    };
    const retry = { baseMs: 200, capMs: 20_000, random: () => 0, now: () => now, sleep };
    await open({ retry }).fetchManifest("1");
    expect(waits).toEqual([waitMs]);
  });

  it("ends the wait when the caller does", async () => {
    registry.intercept = (_, response) => {
      response.writeHead(429, { "retry-after": "30" }).end();
      return true;
    };
    const reason = new Error("stop");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    await expect(open({ retry: { capMs: 60_000 } }).fetchManifest("1", { signal: controller.signal })).rejects.toBe(
      reason,
    );
  });
});

describe("the signal", () => {
  it("stops every call before anything is sent", async () => {
    const reason = new Error("stop");
    const options = { signal: AbortSignal.abort(reason) };
    const layer = registry.addBlob(bytesOf("x"));
    const repository = open();
    await expect(repository.resolve("1", options)).rejects.toBe(reason);
    await expect(repository.fetchManifest("1", options)).rejects.toBe(reason);
    await expect(readAll(repository.fetch(layer, options))).rejects.toBe(reason);
    const range = { offset: 0, length: 1 };
    await expect(readAll(repository.fetchRange(layer, range, options))).rejects.toBe(reason);
    const pieces = repository.fetchRanges(layer, [range], options)[Symbol.asyncIterator]();
    await expect(pieces.next()).rejects.toBe(reason);
    await expect(repository.push(layer, (async function* () {})(), options)).rejects.toBe(reason);
    await expect(repository.pushManifest("1", { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST }, options)).rejects.toBe(
      reason,
    );
    await expect(readTags(repository, options)).rejects.toBe(reason);
    expect(registry.requests).toEqual([]);
  });

  it("serves many requests at once without a warning, and keeps no listener", async () => {
    registry.addManifest("1", "{}");
    const warnings: Error[] = [];
    const listen = (warning: Error): void => void warnings.push(warning);
    process.on("warning", listen);
    const { signal } = new AbortController();
    const repository = open();
    await Promise.all(Array.from({ length: 30 }, () => repository.fetchManifest("1", { signal })));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warnings).toEqual([]);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("stops a request and a body under way", async () => {
    const reason = new Error("stop");
    const layer = registry.addBlob(pseudoRandom(1000));
    for (const head of [false, true]) {
      registry.intercept = (_, response) => {
        if (head) response.writeHead(200, { "content-length": 1000 }).write("x");
        return true;
      };
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 50);
      await expect(readAll(open().fetch(layer, { signal: controller.signal }))).rejects.toBe(reason);
    }
  });
});

describe("tags()", () => {
  it("follows the pages of the registry and passes over what is no tag", async () => {
    registry.intercept = ({ url = "" }, response) => {
      const isFirst = !url.includes("last=");
      const link = isFirst ? { link: `</v2/${PATH}/tags/list?n=1000&last=b>; rel="next"` } : {};
      response.writeHead(200, link).end(JSON.stringify({ tags: isFirst ? ["a", "b", "../x", 1] : ["c"] }));
      return true;
    };
    expect(await readTags(open())).toEqual(["a", "b", "c"]);
  });

  it("refuses a next page elsewhere, and the same page again", async () => {
    for (const link of [`<http://127.0.0.1:1/v2/x>; rel="next"`, `</v2/${PATH}/tags/list?n=1000>; rel="next"`]) {
      registry.intercept = (_, response) => {
        response.writeHead(200, { link }).end(JSON.stringify({ tags: null }));
        return true;
      };
      await expect(readTags(open())).rejects.toThrow(failure("protocol"));
    }
  });
});
