import { digestOf, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, parseIndex } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { createRegistry } from "../src/index.js";
import type { Registry, RegistryStorage } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, request } from "./fixture.js";

const EMPTY = bytesOf("{}");
const CONFIG = { mediaType: OCI_EMPTY, digest: digestOf(EMPTY), size: EMPTY.length };
const SUBJECT = { mediaType: OCI_MANIFEST, digest: digestOf(bytesOf("the subject")), size: 11 };

function referrer(annotations: Record<string, string>, fields: object = {}): Uint8Array<ArrayBuffer> {
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [], subject: SUBJECT };
  return bytesOf(JSON.stringify({ ...manifest, annotations, ...fields }));
}

async function setUp(storage: RegistryStorage = memoryStorage()): Promise<Registry> {
  const registry = createRegistry({ storage });
  await registry(request("POST", `/v2/a/blobs/uploads/?digest=${CONFIG.digest}`, { body: EMPTY }));
  return registry;
}

async function put(
  registry: Registry,
  reference: string,
  body: Uint8Array<ArrayBuffer>,
  type = OCI_MANIFEST,
): Promise<Digest> {
  const response = await registry(
    request("PUT", `/v2/a/manifests/${reference}`, { body, headers: { "Content-Type": type } }),
  );
  expect(response.status).toBe(201);
  return digestOf(body);
}

/** The descriptors of each page. */
async function pages(registry: Registry, query = ""): Promise<Descriptor[][]> {
  const found: Descriptor[][] = [];
  for (let path: string | undefined = `/v2/a/referrers/${SUBJECT.digest}${query}`; path !== undefined;) {
    const response = await registry(request("GET", path));
    expect(response.status).toBe(200);
    found.push([...parseIndex(new Uint8Array(await response.arrayBuffer()), OCI_INDEX).manifests]);
    path = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("Link") ?? "")?.[1];
  }
  return found;
}

describe("referrers", () => {
  it("are listed in pages, each as large as an answer may be, and each once", async () => {
    const registry = await setUp();
    const digests = new Set<Digest>();
    for (let n = 0; n < 5; n++) {
      const body = referrer({ n: String(n), large: "x".repeat(600_000) });
      digests.add(await put(registry, digestOf(body), body));
    }
    const found = await pages(registry);
    expect(found.map((page) => page.length)).toEqual([2, 2, 1]);
    expect(found.flat().map(({ digest }) => digest)).toEqual([...digests].sort());
    expect(await pages(registry, "?artifactType=application%2Fnone")).toEqual([[]]);
    expect((await pages(registry, `?artifactType=${encodeURIComponent(OCI_EMPTY)}`)).flat()).toHaveLength(5);
  });

  it("are read no further than an answer may take, also where a filter lets few through", async () => {
    const storage = memoryStorage();
    const registry = await setUp(storage);
    for (let n = 0; n < 11; n++) {
      const body = referrer({ n: String(n), large: "x".repeat(3_500_000) });
      await put(registry, digestOf(body), body);
    }
    const found = await pages(registry, "?artifactType=application%2Fnone");
    expect(found).toEqual([[], []]);
  });

  it("say so when they were filtered, and only then", async () => {
    const registry = await setUp();
    const filtersOf = async (query: string): Promise<string | null> =>
      (await registry(request("GET", `/v2/a/referrers/${SUBJECT.digest}${query}`))).headers.get("OCI-Filters-Applied");
    expect(await filtersOf("")).toBeNull();
    expect(await filtersOf("?artifactType=a%2Fb")).toBe("artifactType");
  });

  it("that clients have listed under a tag are listed too, if they are there and refer to it", async () => {
    const storage = memoryStorage();
    const registry = await setUp(storage);
    const body = referrer({ pushed: "before the registry had referrers" });
    const old = await put(registry, "old", body);
    const unrelated = await put(
      registry,
      "unrelated",
      referrer({}, { subject: { ...SUBJECT, digest: CONFIG.digest } }),
    );
    // what an older registry had kept: the manifest, and nothing of its subject
    const manifest = { mediaType: OCI_MANIFEST, digest: old, size: body.length };
    await storage.manifests.delete("a", old);
    await storage.manifests.put("a", manifest);
    expect(await pages(registry)).toEqual([[]]);
    const listed = [manifest, { ...manifest, digest: unrelated }];
    const index = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: listed }));
    const tag = SUBJECT.digest.replace(":", "-");
    const upload = await storage.uploads.begin("a");
    await upload.append(ReadableStream.from([index]), { offset: 0 });
    await upload.commit(digestOf(index));
    await storage.manifests.put("a", { mediaType: OCI_INDEX, digest: digestOf(index), size: index.length }, { tag });
    expect((await pages(registry)).flat().map(({ digest }) => digest)).toEqual([old]);
  });

  it("whose bytes have gone are left out", async () => {
    const storage = memoryStorage();
    const registry = await setUp(storage);
    const kept = await put(registry, "kept", referrer({ n: "1" }));
    const gone = await put(registry, "gone", referrer({ n: "2" }));
    await registry(request("DELETE", `/v2/a/blobs/${gone}`));
    expect((await pages(registry)).flat().map(({ digest }) => digest)).toEqual([kept]);
  });

  it("that are damaged are a failure of the registry, not the client's", async () => {
    const storage = memoryStorage();
    const errors: unknown[] = [];
    const body = referrer({});
    await put(await setUp(storage), "v1", body);
    const read: RegistryStorage["blobs"]["read"] = async function* (_, __, { length }) {
      yield new Uint8Array(length);
    };
    const blobs = { ...storage.blobs, read };
    const registry = createRegistry({ storage: { ...storage, blobs }, onError: (error) => errors.push(error) });
    expect((await registry(request("GET", `/v2/a/referrers/${SUBJECT.digest}`))).status).toBe(500);
    expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining(digestOf(body)) })]);
  });
});
