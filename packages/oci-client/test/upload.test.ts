import type { IncomingMessage, ServerResponse } from "node:http";

import { type Descriptor, digestOf, OCI_LAYER_GZIP } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type RegistryClient, type Repository } from "../src/index.js";
import {
  bytesOf,
  failure,
  PATH,
  pseudoRandom,
  readAll,
  sendError,
  startRegistry,
  type TestRegistry,
} from "./registry-server.js";

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

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function describeBytes(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): Descriptor {
  return { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes, algorithm), size: bytes.length };
}

const methods = (): string[] => registry.requests.map(({ method }) => method);

/** A registry that takes chunks. `fault` sees each PATCH before its bytes are kept. */
function serveChunks(
  fault: (count: number, keep: () => void, response: ServerResponse) => boolean,
  minimum?: number,
): void {
  let received = new Uint8Array();
  let patches = 0;
  const place = (): Record<string, string> => ({
    location: `/v2/${PATH}/blobs/uploads/1?at=${received.length}`,
    range: `0-${Math.max(received.length - 1, 0)}`,
  });
  registry.intercept = async (request: IncomingMessage, response) => {
    const { method = "", url = "" } = request;
    if (method === "POST") {
      response.writeHead(202, { ...place(), ...(minimum !== undefined && { "oci-chunk-min-length": minimum }) }).end();
    } else if (method === "PATCH") {
      const bytes = await readAll(request);
      const keep = (): void => void (received = new Uint8Array(Buffer.concat([received, bytes])));
      if (fault(++patches, keep, response)) return true;
      if (!request.headers["content-range"]?.startsWith(`${received.length}-`))
        sendError(response, 416, "RANGE_INVALID");
      else {
        keep();
        response.writeHead(202, place()).end();
      }
    } else if (method === "GET" && url.includes("/uploads/")) response.writeHead(204, place()).end();
    else if (method === "PUT" && url.includes("/uploads/")) {
      registry.addBlob(received);
      response.writeHead(201).end();
    } else return false;
    return true;
  };
}

describe("push() in chunks", () => {
  const bytes = pseudoRandom(250);

  it("sends pieces of the size asked for, each to the place that the last answer named", async () => {
    serveChunks(() => false);
    await repository.push(describeBytes(bytes), once(bytes), { chunkBytes: 100 });
    expect(methods()).toEqual(["HEAD", "POST", "PATCH", "PATCH", "PATCH", "PUT"]);
    expect(registry.requests.slice(2, 5).map(({ headers }) => headers["content-range"])).toEqual([
      "0-99",
      "100-199",
      "200-249",
    ]);
    expect(registry.requests[3]?.path).toContain("at=100");
    expect(registry.blobs.get(describeBytes(bytes).digest)).toEqual(bytes);
  });

  it("sends pieces as large as the registry needs them", async () => {
    serveChunks(() => false, 200);
    await repository.push(describeBytes(bytes), once(bytes), { chunkBytes: 10 });
    expect(registry.requests.slice(2, -1).map(({ headers }) => headers["content-range"])).toEqual(["0-199", "200-249"]);
  });

  it("refuses pieces that are too large to hold", async () => {
    serveChunks(() => false, 1e12);
    await expect(repository.push(describeBytes(bytes), once(bytes), { chunkBytes: 10 })).rejects.toThrow(
      failure("too_large"),
    );
  });

  it.each([
    ["before the registry had it", false],
    ["after the registry had it", true],
  ])("goes on where the registry is when a connection breaks %s", async (_, isKept) => {
    serveChunks((count, keep, response) => {
      if (count !== 2) return false;
      if (isKept) keep();
      response.destroy();
      return true;
    });
    await repository.push(describeBytes(bytes), once(bytes), { chunkBytes: 100 });
    expect(methods()).toEqual(
      isKept
        ? ["HEAD", "POST", "PATCH", "PATCH", "GET", "PATCH", "PUT"]
        : ["HEAD", "POST", "PATCH", "PATCH", "GET", "PATCH", "PATCH", "PUT"],
    );
    expect(registry.blobs.has(describeBytes(bytes).digest)).toBe(true);
  });

  it("gives up on a registry that keeps failing, and reads the content once", async () => {
    serveChunks((_count, _keep, response) => {
      response.destroy();
      return true;
    });
    await expect(repository.push(describeBytes(bytes), once(bytes), { chunkBytes: 100 })).rejects.toThrow(
      failure("network"),
    );
    expect(methods().filter((method) => method === "PATCH")).toHaveLength(3);
  });

  it("does not finish an upload of content that is not what was promised", async () => {
    serveChunks(() => false);
    const promised = describeBytes(bytes.toReversed());
    await expect(repository.push(promised, once(bytes), { chunkBytes: 100 })).rejects.toThrow(
      failure("digest_mismatch"),
    );
    expect(methods()).not.toContain("PUT");
  });
});

describe("push() of content that can be asked for again", () => {
  it("begins anew after an upload that broke", async () => {
    const bytes = pseudoRandom(1000);
    let puts = 0;
    registry.intercept = ({ method }, response) => {
      if (method !== "PUT" || ++puts > 1) return false;
      response.destroy();
      return true;
    };
    let opened = 0;
    await repository.push(describeBytes(bytes), () => {
      opened++;
      return once(bytes);
    });
    expect(opened).toBe(2);
    expect(methods()).toEqual(["HEAD", "POST", "PUT", "HEAD", "POST", "PUT"]);
  });

  it("does not begin anew when the content itself failed", async () => {
    let opened = 0;
    const broken = new Error("disk on fire");
    async function* content(): AsyncGenerator<Uint8Array> {
      opened++;
      yield bytesOf("x");
      throw broken;
    }
    await expect(repository.push(describeBytes(bytesOf("xyz")), content)).rejects.toBe(broken);
    expect(opened).toBe(1);
  });
});

describe("push() with another digest algorithm", () => {
  it("announces sha512 and verifies it", async () => {
    const bytes = bytesOf("content");
    registry.intercept = async (request, response) => {
      if (request.method === "PUT") {
        await readAll(request);
        response.writeHead(201).end();
      }
      return request.method === "PUT";
    };
    await repository.push(describeBytes(bytes, "sha512"), once(bytes));
    expect(registry.requests[1]?.path).toContain("?digest-algorithm=sha512");
    expect(registry.requests[2]?.path).toContain("digest=sha512%3A");
    const promised = { ...describeBytes(bytes, "sha512"), digest: digestOf(bytesOf("another"), "sha512") };
    await expect(repository.push(promised, once(bytes))).rejects.toThrow(failure("digest_mismatch"));
  });
});

describe("mount()", () => {
  const digest = digestOf(bytesOf("layer"));

  it("borrows a blob of another repository", async () => {
    registry.intercept = ({ method }, response) => {
      if (method === "POST") response.writeHead(201).end();
      return method === "POST";
    };
    expect(await repository.mount({ digest }, { registry: registry.url, path: "other/app" })).toBe(true);
    expect(registry.requests[0]?.path).toBe(
      `/v2/${PATH}/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=other%2Fapp`,
    );
  });

  it("says so when the registry does not lend it, and cancels the upload that was begun instead", async () => {
    expect(await repository.mount({ digest }, { registry: registry.url, path: "other/app" })).toBe(false);
    expect(methods()).toEqual(["POST", "DELETE"]);
  });

  it("uploads what may not be borrowed", async () => {
    const bytes = bytesOf("layer");
    registry.intercept = ({ method, url = "" }, response) => {
      if (method !== "POST" || !url.includes("mount=")) return false;
      sendError(response, 403, "DENIED");
      return true;
    };
    await repository.push(describeBytes(bytes), once(bytes), {
      mountFrom: { registry: registry.url, path: "other/app" },
    });
    expect(methods()).toEqual(["HEAD", "POST", "POST", "PUT"]);
  });
});
