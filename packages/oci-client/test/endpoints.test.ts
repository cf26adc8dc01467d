import { type Descriptor, digestOf, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type RegistryClient, type Repository } from "../src/index.js";
import { bytesOf, failure, PATH, sendError, startRegistry, type TestRegistry } from "./registry-server.js";

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

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Answers GET on a path with pages of JSON, linked. */
function servePages(
  path: string,
  pages: readonly object[],
  link = (page: number) => `<${path}?page=${page}>; rel="next"`,
): void {
  registry.intercept = ({ url = "" }, response) => {
    if (!url.startsWith(path)) return false;
    const page = Number(new URL(url, registry.url).searchParams.get("page") ?? 0);
    if (page + 1 < pages.length) response.setHeader("link", link(page + 1));
    response.setHeader("content-type", OCI_INDEX).end(JSON.stringify(pages[page]));
    return true;
  };
}

describe("catalog()", () => {
  it("gives the repositories of all pages and passes over what is no name", async () => {
    servePages("/v2/_catalog", [{ repositories: ["a", "b/c"] }, { repositories: ["../x", 7, "d"] }]);
    expect(await all(client.catalog(registry.host, { pageSize: 2, last: "0" }))).toEqual(["a", "b/c", "d"]);
    expect(registry.requests[0]?.path).toBe("/v2/_catalog?n=2&last=0");
  });

  it("does not follow a link to another host", async () => {
    servePages("/v2/_catalog", [{ repositories: ["a"] }, {}], () => '<http://127.0.0.1:1/v2/_catalog>; rel="next"');
    await expect(all(client.catalog(registry.host))).rejects.toThrow(failure("protocol", "not at the same registry"));
  });

  it("refuses a registry name with a path", () => {
    expect(() => client.catalog("example.org/x")).toThrow(failure("address_invalid"));
  });
});

describe("referrers()", () => {
  const subject = digestOf(bytesOf("subject"));
  const referrer = (text: string, artifactType: string): Descriptor => ({
    mediaType: OCI_MANIFEST,
    digest: digestOf(bytesOf(text)),
    size: text.length,
    artifactType,
  });
  const index = (...manifests: Descriptor[]): object => ({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });

  it("lists all pages, and filters what the registry did not", async () => {
    const [a, b, c] = [referrer("1", "a/x"), referrer("22", "b/x"), referrer("333", "a/x")];
    servePages(`/v2/${PATH}/referrers/${subject}`, [index(a, b), index(c)]);
    expect(await all(repository.referrers(subject))).toEqual([a, b, c]);
    expect(await all(repository.referrers(subject, { artifactType: "a/x" }))).toEqual([a, c]);
    expect(registry.requests.at(-2)?.path).toContain("?artifactType=a%2Fx");
  });

  it.each([404, 405])("reads the referrers tag when the registry answers %d", async (status) => {
    registry.intercept = ({ url = "" }, response) => {
      if (!url.includes("/referrers/")) return false;
      sendError(response, status, "UNSUPPORTED");
      return true;
    };
    expect(await all(repository.referrers(subject))).toEqual([]);
    const listed = referrer("1", "a/x");
    registry.addManifest(subject.replace(":", "-"), index(listed), OCI_INDEX);
    expect(await all(repository.referrers(subject))).toEqual([listed]);
    expect(await all(repository.referrers(subject, { artifactType: "b/x" }))).toEqual([]);
  });

  it("refuses what is no digest, and rejects with the reason of its signal", async () => {
    await expect(all(repository.referrers("latest" as Descriptor["digest"]))).rejects.toThrow(
      failure("address_invalid"),
    );
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(all(repository.referrers(subject, { signal }))).rejects.toBe(reason);
    await expect(all(client.catalog(registry.host, { signal }))).rejects.toBe(reason);
    expect(registry.requests).toEqual([]);
  });
});

describe("a manifest with a subject", () => {
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(bytesOf("subject")), size: 7 };
  const tag = subject.digest.replace(":", "-");

  function artifact(annotations: Record<string, string>): { bytes: Uint8Array; mediaType: string } {
    const config = { mediaType: OCI_CONFIG, digest: digestOf(bytesOf("{}")), size: 2 };
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], subject, annotations };
    return { bytes: bytesOf(JSON.stringify(manifest)), mediaType: OCI_MANIFEST };
  }

  function listed(): unknown {
    return JSON.parse(new TextDecoder().decode(registry.manifests.get(tag)?.bytes));
  }

  it("is listed once under the referrers tag, beside what is there, in others' own words", async () => {
    const other = { mediaType: OCI_MANIFEST, digest: digestOf(bytesOf("o")), size: 1, "x-own": true };
    registry.addManifest(tag, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [other] }, OCI_INDEX);
    const manifest = artifact({ a: "b" });
    const descriptor = await repository.pushManifest(digestOf(manifest.bytes), manifest);
    await repository.pushManifest("again", manifest);
    const entry = { ...descriptor, artifactType: OCI_CONFIG, annotations: { a: "b" } };
    expect(listed()).toMatchObject({ manifests: [other, entry] });
  });

  it("is left to a registry that answers OCI-Subject", async () => {
    registry.intercept = ({ method }, response) => {
      if (method === "PUT") response.writeHead(201, { "oci-subject": subject.digest }).end();
      return method === "PUT";
    };
    await repository.pushManifest("1", artifact({}));
    expect(registry.requests.map(({ method }) => method)).toEqual(["PUT"]);
  });

  it("leaves the referrers tag when it is deleted", async () => {
    const [one, two] = [artifact({ n: "1" }), artifact({ n: "2" })];
    const first = await repository.pushManifest("1", one);
    const second = await repository.pushManifest("2", two);
    registry.intercept = ({ method }, response) => {
      if (method === "DELETE") response.writeHead(202).end();
      return method === "DELETE";
    };
    await repository.delete(first.digest);
    expect(listed()).toMatchObject({ manifests: [{ digest: second.digest }] });
  });
});

describe("delete()", () => {
  const answers = (...statuses: number[]): void => {
    registry.intercept = ({ method }, response) => {
      if (method === "DELETE") sendError(response, statuses.shift() ?? 500, "ANSWER");
      return method === "DELETE";
    };
  };

  it.each([
    [405, "rejected"],
    [403, "denied"],
    [404, "not_found"],
  ])("reports %d as %s", async (status, code) => {
    answers(status);
    await expect(repository.delete("1")).rejects.toThrow(failure(code));
    answers(status);
    await expect(repository.deleteBlob(digestOf(bytesOf("x")))).rejects.toThrow(failure(code));
  });

  it("takes 404 for done after a try whose answer was lost", async () => {
    answers(503, 404);
    await repository.delete("1");
    expect(registry.requests.map(({ method }) => method)).toEqual(["DELETE", "DELETE"]);
  });

  it("refuses names that are no names, and rejects with the reason of its signal", async () => {
    await expect(repository.delete("../x")).rejects.toThrow(failure("address_invalid"));
    await expect(repository.deleteBlob("../x" as Descriptor["digest"])).rejects.toThrow(failure("address_invalid"));
    const reason = new Error("stop");
    await expect(repository.delete("1", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(registry.requests).toEqual([]);
  });
});
