import { setTimeout as sleep } from "node:timers/promises";

import { digestOf, OCI_INDEX } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { createRegistry } from "../src/index.js";
import type { RegistryStorage } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, createGate, request } from "./fixture.js";

const BYTES = bytesOf("hello");
const DIGEST = digestOf(BYTES);
const INDEX = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }));

/** A body that brings so many bytes each time, and then waits. */
function slowBody(everyMs: number, bytes = 1): ReadableStream<Uint8Array> {
  let stopped = false;
  return new ReadableStream(
    {
      async pull(stream) {
        await sleep(everyMs);
        if (!stopped) stream.enqueue(new Uint8Array(bytes));
      },
      cancel() {
        stopped = true;
      },
    },
    { highWaterMark: 0 },
  );
}

describe("a registry with a client that sends slowly", () => {
  it("gives up a body that stands still, and keeps the upload for a better one", async () => {
    const storage = memoryStorage();
    const registry = createRegistry({ storage, limits: { bodyIdleMs: 30 } });
    const upload = await storage.uploads.begin("a");
    const path = `/v2/a/blobs/uploads/${upload.id}`;
    const body = new ReadableStream({ start: (stream) => stream.enqueue(BYTES) });
    expect((await registry(request("PATCH", path, { body }))).status).toBe(408);
    expect((await registry(request("GET", path))).headers.get("Range")).toBe("0-4");
    expect((await registry(request("PUT", `${path}?digest=${DIGEST}`))).status).toBe(201);
  });

  it("gives up a body that trickles, though it never stands still", async () => {
    const limits = { bodyIdleMs: 40, minBodyBytesPerSecond: 1000 };
    const registry = createRegistry({ storage: memoryStorage(), limits });
    for (const [method, path] of [
      ["POST", `/v2/a/blobs/uploads/?digest=${DIGEST}`],
      ["PUT", "/v2/a/manifests/v1"],
    ] as const) {
      const response = await registry(request(method, path, { body: slowBody(5) }));
      expect(response.status).toBe(408);
    }
  });

  it("does not count the time that its storage takes", async () => {
    const storage = memoryStorage();
    const uploads: RegistryStorage["uploads"] = {
      async begin(...call) {
        const upload = await storage.uploads.begin(...call);
        const append = upload.append.bind(upload);
        upload.append = (bytes, options) =>
          append(
            (async function* () {
              for await (const chunk of bytes) {
                await sleep(450);
                yield chunk;
              }
            })(),
            options,
          );
        return upload;
      },
      find: (...call) => storage.uploads.find(...call),
    };
    const registry = createRegistry({ storage: { ...storage, uploads }, limits: { bodyIdleMs: 400 } });
    const path = `/v2/a/blobs/uploads/?digest=${DIGEST}`;
    expect((await registry(request("POST", path, { body: BYTES }))).status).toBe(201);
  });

  it("leaves a body that is slow but steady", async () => {
    const limits = { bodyIdleMs: 500, minBodyBytesPerSecond: 100 };
    const registry = createRegistry({ storage: memoryStorage(), limits });
    let left = 30;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(stream) {
          await sleep(25);
          if (left-- > 0) stream.enqueue(new Uint8Array(100));
          else stream.close();
        },
      },
      { highWaterMark: 0 },
    );
    const path = `/v2/a/blobs/uploads/?digest=${digestOf(new Uint8Array(3000))}`;
    expect((await registry(request("POST", path, { body }))).status).toBe(201);
  });
});

describe("a registry with clients that send too much", () => {
  it("takes manifests up to its own limit", async () => {
    const registry = createRegistry({ storage: memoryStorage(), limits: { maxManifestBytes: INDEX.length } });
    const put = async (body: Uint8Array<ArrayBuffer>): Promise<number> =>
      (await registry(request("PUT", "/v2/a/manifests/v1", { body, headers: { "Content-Type": OCI_INDEX } }))).status;
    expect(await put(INDEX)).toBe(201);
    expect(await put(bytesOf(`${new TextDecoder().decode(INDEX)} `))).toBe(413);
  });

  it("holds no more of all manifests on their way in than it may, and gives the room back", async () => {
    const registry = createRegistry({ storage: memoryStorage(), limits: { maxPendingManifestBytes: 1000 } });
    const gate = createGate();
    const held = (): Promise<Response> => {
      const body = new ReadableStream({
        async start(stream) {
          stream.enqueue(new Uint8Array(400));
          await gate.passed;
          stream.error(new Error("reset"));
        },
      });
      return registry(request("PUT", "/v2/a/manifests/v1", { body }));
    };
    const put = async (): Promise<number> => {
      const body = new Uint8Array(400).fill(0x20);
      body.set(INDEX);
      const init = { body, headers: { "Content-Type": OCI_INDEX } };
      return (await registry(request("PUT", "/v2/a/manifests/v1", init))).status;
    };
    const slow = [held(), held()];
    while ((await put()) !== 429) await sleep(1);
    gate.open();
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([500, 500]);
    expect(await put()).toBe(201);
    expect(await put()).toBe(201);
  });

  it("opens no more uploads than its storage lets it, whichever way they begin", async () => {
    const registry = createRegistry({ storage: memoryStorage({ maxUploads: 2 }) });
    const begun = await Promise.all(
      Array.from({ length: 50 }, () => registry(request("POST", "/v2/a/blobs/uploads/"))),
    );
    expect(begun.filter(({ status }) => status === 202)).toHaveLength(2);
    expect(begun.filter(({ status }) => status === 429)).toHaveLength(48);
    const post = await registry(request("POST", `/v2/a/blobs/uploads/?digest=${DIGEST}`, { body: BYTES }));
    expect(post.status).toBe(429);
    const location = begun.find(({ status }) => status === 202)?.headers.get("Location") ?? "";
    expect((await registry(request("DELETE", location))).status).toBe(204);
    expect((await registry(request("POST", "/v2/a/blobs/uploads/"))).status).toBe(202);
  });

  it("answers requests with headers, queries and names of any length, at once", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const long = "a".repeat(100_000);
    const statusOf = async (method: string, path: string, headers: Record<string, string> = {}): Promise<number> =>
      (await registry(request(method, path, { headers }))).status;
    const startedMs = performance.now();
    expect(await statusOf("GET", `/v2/${"a".repeat(900)}/tags/list`)).toBe(400);
    for (const name of [
      long,
      "a/".repeat(50_000),
      "blobs/".repeat(20_000),
      "blobs/uploads/".repeat(9000),
      "/".repeat(9000),
    ]) {
      expect(await statusOf("GET", `/v2/${name}/tags/list`)).toBe(414);
      expect(await statusOf("POST", `/v2/${name}`)).toBe(414);
    }
    for (const part of ["a/", "blobs/", "blobs/uploads/", "a/manifests/", "tags/list/", "/"]) {
      const path = `/v2/${part.repeat(1000 / part.length)}`;
      expect([400, 404, 405], path.slice(0, 40)).toContain(await statusOf("GET", path));
    }
    expect(await statusOf("POST", `/v2/a/blobs/uploads/?mount=${long}&from=${long}`)).toBe(202);
    expect(await statusOf("GET", `/v2/_catalog?n=${"9".repeat(100_000)}&last=${long}`)).toBe(200);
    expect(await statusOf("GET", `/v2/a/referrers/${DIGEST}?artifactType=${long}&last=${long}`)).toBe(200);
    expect(await statusOf("GET", `/v2/a/blobs/${DIGEST}`, { Range: `bytes=${long}` })).toBe(404);
    expect(await statusOf("PATCH", "/v2/a/blobs/uploads/x", { "Content-Range": long })).toBe(404);
    expect(await statusOf("PUT", "/v2/a/manifests/v1", { "Content-Type": long })).toBe(400);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});

describe("a registry with names that are tricks", () => {
  const NAMES = [
    "..",
    "%2e%2e",
    "a/..%2fb",
    "a%2f%2e%2e%2fb",
    "a%00b",
    "a%5cb",
    "%2fetc",
    "a%0d%0aX-Y:%20z",
    "a/%252e%252e",
    "~",
  ];

  it("hands its storage no repository that is none", async () => {
    const seen: string[] = [];
    const storage = memoryStorage();
    const watched: RegistryStorage = {
      ...storage,
      uploads: {
        begin: (name, call) => (seen.push(name), storage.uploads.begin(name, call)),
        find: (name, id, call) => (seen.push(name), storage.uploads.find(name, id, call)),
      },
      manifests: {
        ...storage.manifests,
        resolve: (name, reference, call) => (seen.push(name), storage.manifests.resolve(name, reference, call)),
      },
    };
    const registry = createRegistry({ storage: watched });
    for (const name of NAMES) {
      for (const [method, path] of [
        ["POST", `/v2/${name}/blobs/uploads/`],
        ["PATCH", `/v2/${name}/blobs/uploads/x`],
        ["GET", `/v2/${name}/manifests/v1`],
        ["GET", `/v2/${name}/referrers/${DIGEST}`],
        ["POST", `/v2/a/blobs/uploads/?mount=${DIGEST}&from=${name}`],
      ] as const) {
        const { status } = await registry(request(method, path));
        expect([202, 400, 404], `${method} ${path}`).toContain(status);
      }
    }
    expect(new Set(seen)).toEqual(new Set(["a"]));
  });

  it("takes no tag and no digest that is none", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    for (const name of [...NAMES.map((each) => each.replaceAll("/", "%2f")), "sha256:..%2f..", "sha256%3a..", ":"]) {
      const init = { body: INDEX, headers: { "Content-Type": OCI_INDEX } };
      const { status } = await registry(request("PUT", `/v2/a/manifests/${name}`, init));
      expect([400, 404, 405], name).toContain(status);
    }
    const { repositories } = (await (await registry(request("GET", "/v2/_catalog"))).json()) as {
      repositories: string[];
    };
    expect(repositories).toEqual([]);
  });

  it("shows them in no header", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const response = await registry(request("GET", "/v2/_catalog?n=1&last=a%0d%0aX-Y:%20z"));
    expect(response.status).toBe(200);
    expect([...response.headers.keys()]).not.toContain("x-y");
  });
});
