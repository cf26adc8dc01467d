import { digestOf, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createFetchTransport, createRegistryClient, type RegistryClient, type Repository } from "../src/index.js";
import { bytesOf, failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

let registry: TestRegistry;
let client: RegistryClient;
let repository: Repository;

beforeEach(async () => {
  registry = await startRegistry();
  client = createRegistryClient({ retry: { baseMs: 1 } });
  repository = client.repository({ domain: registry.host, path: PATH });
});

afterEach(async () => {
  await client.close();
  await registry[Symbol.asyncDispose]();
});

async function* chunked(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function* slow(ms: number): AsyncGenerator<Uint8Array> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  yield bytesOf("x");
}

function emptyManifest(): Promise<Response> {
  return Promise.resolve(new Response("{}", { headers: { "content-type": OCI_MANIFEST } }));
}

const descriptorOf = (bytes: Uint8Array, mediaType = OCI_LAYER_GZIP) => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

describe("push()", () => {
  it.each([0, 1, 1_000_000])("uploads a blob of %d bytes that can be pulled back", async (size) => {
    const bytes = pseudoRandom(size);
    const descriptor = descriptorOf(bytes);
    await repository.push(descriptor, chunked(bytes));
    expect(registry.requests.map(({ method }) => method)).toEqual(["HEAD", "POST", "PUT"]);
    expect(registry.requests[2]?.headers["content-length"]).toBe(String(size));
    expect(await readAll(repository.fetch(descriptor))).toHaveLength(size);
  });

  it("keeps the query that the registry put into the place to upload to", async () => {
    const bytes = bytesOf("x");
    await repository.push(descriptorOf(bytes), chunked(bytes));
    const digest = encodeURIComponent(digestOf(bytes));
    expect(registry.requests[2]?.path).toBe(`/v2/${PATH}/blobs/uploads/1?state=a%2Fb+c&digest=${digest}`);
  });

  it("sends nothing that is there already and lets go of the content", async () => {
    let isClosed = false;
    const bytes = bytesOf("layer");
    const manifest = registry.addManifest("1", "{}");
    for (const descriptor of [registry.addBlob(bytes), manifest]) {
      isClosed = false;
      const content = {
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.reject(new Error("was read")),
          return: async () => {
            isClosed = true;
            return { done: true as const, value: undefined };
          },
        }),
      };
      await repository.push(descriptor, content);
      expect(isClosed).toBe(true);
    }
    expect(registry.requests.map(({ method }) => method)).toEqual(["HEAD", "HEAD"]);
  });

  it("uploads a manifest under its digest", async () => {
    const bytes = bytesOf('{"a":1}');
    const descriptor = descriptorOf(bytes, OCI_MANIFEST);
    await repository.push(descriptor, chunked(bytes));
    expect(await repository.resolve(descriptor.digest)).toEqual(descriptor);
  });

  it.each([
    ["is longer", (bytes: Uint8Array) => Buffer.concat([bytes, bytes]), "size_mismatch"],
    ["is shorter", (bytes: Uint8Array) => bytes.subarray(1), "size_mismatch"],
    ["has another digest", (bytes: Uint8Array) => bytes.toReversed(), "digest_mismatch"],
  ])("refuses content that %s and leaves no blob", async (_, change, code) => {
    const bytes = pseudoRandom(300_000);
    await expect(repository.push(descriptorOf(bytes), chunked(change(bytes)))).rejects.toThrow(failure(code));
    expect(registry.blobs.size).toBe(0);
  });

  it("passes on the content's own error", async () => {
    const broken = new Error("disk on fire");
    async function* content(): AsyncGenerator<Uint8Array> {
      yield bytesOf("x");
      throw broken;
    }
    await expect(repository.push(descriptorOf(bytesOf("xyz")), content())).rejects.toBe(broken);
  });

  it.each(["http://127.0.0.1:1/upload", "http://user:secret@127.0.0.1/upload", "https://example.org/upload?secret"])(
    "does not upload to %s",
    async (location) => {
      registry.intercept = ({ method }, response) => {
        if (method === "POST") response.writeHead(202, { location }).end();
        return method === "POST";
      };
      const bytes = bytesOf("x");
      await expect(repository.push(descriptorOf(bytes), chunked(bytes))).rejects.toThrow(
        expect.objectContaining({ code: "redirect_refused", message: expect.not.stringContaining("secret") }),
      );
    },
  );

  it("waits for a slow source without a timeout, but not for a peer that takes nothing", async () => {
    const patient = createRegistryClient({ timeouts: { headersMs: 100 }, retry: { attempts: 1 } });
    const target = patient.repository({ domain: registry.host, path: PATH });
    await target.push(descriptorOf(bytesOf("x")), slow(300));
    registry.intercept = ({ method }) => method === "PUT";
    const bytes = pseudoRandom(10_000_000);
    await expect(target.push(descriptorOf(bytes), chunked(bytes))).rejects.toThrow(failure("timeout"));
    await patient.close();
  });
});

describe("pushManifest()", () => {
  it("puts a manifest under a tag, moves the tag, and tries again after a failure", async () => {
    const first = await repository.pushManifest("1", { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST });
    expect(await repository.resolve("1")).toEqual(first);
    let failures = 1;
    registry.intercept = (_, response) => {
      if (failures-- > 0) response.destroy();
      return response.destroyed;
    };
    const second = await repository.pushManifest("1", { bytes: bytesOf("{ }"), mediaType: OCI_MANIFEST });
    expect(await repository.resolve("1")).toEqual(second);
    expect(second.digest).not.toBe(first.digest);
  });

  it("refuses a digest that is not the manifest's", async () => {
    const name = digestOf(bytesOf("other"));
    await expect(repository.pushManifest(name, { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST })).rejects.toThrow(
      failure("rejected"),
    );
    expect(registry.requests).toEqual([]);
  });
});

describe("createFetchTransport()", () => {
  it("pushes and pulls through the platform's fetch", async () => {
    const own = createRegistryClient({ transport: createFetchTransport(fetch) });
    const target = own.repository({ domain: registry.host, path: PATH });
    const bytes = pseudoRandom(500_000);
    await target.push(descriptorOf(bytes), chunked(bytes));
    expect(await readAll(target.fetch(descriptorOf(bytes)))).toHaveLength(bytes.length);
    await own.close();
  });

  it("speaks to a handler in the same process, and gives up on one that never answers", async () => {
    const name = { domain: "registry.test", path: PATH };
    const own = createRegistryClient({ transport: createFetchTransport(emptyManifest) });
    expect((await own.repository(name).fetchManifest("1")).bytes).toEqual(bytesOf("{}"));
    const silent = createFetchTransport(() => new Promise(() => {}));
    const hasty = createRegistryClient({ transport: silent, timeouts: { headersMs: 30 }, retry: { attempts: 1 } });
    await expect(hasty.repository(name).fetchManifest("1")).rejects.toThrow(failure("timeout"));
  });
});
