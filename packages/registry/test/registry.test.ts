import { setTimeout as sleep } from "node:timers/promises";

import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { createRegistry, RegistryError } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, createGate, registryOver, request } from "./fixture.js";

const BYTES = bytesOf("hello");
const DIGEST = digestOf(BYTES);

describe("createRegistry()", () => {
  it("rejects with the reason of a request that is aborted before it starts", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const reason = new Error("gone");
    const aborted = request("GET", "/v2/", { signal: AbortSignal.abort(reason) });
    await expect(registry(aborted)).rejects.toBe(reason);
  });

  it("rejects with the reason of a request that is aborted while its body is awaited, and keeps what had come", async () => {
    const storage = memoryStorage();
    const registry = createRegistry({ storage });
    const upload = await storage.uploads.begin("a");
    const controller = new AbortController();
    const body = new ReadableStream({ start: (stream) => stream.enqueue(BYTES) });
    const path = `/v2/a/blobs/uploads/${upload.id}`;
    const answer = registry(request("PATCH", path, { body, signal: controller.signal }));
    while (upload.size < BYTES.length) await sleep(1);
    const reason = new Error("gone");
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    const status = await registry(request("GET", path));
    expect(status.headers.get("Range")).toBe("0-4");
  });

  it("answers a failure of its storage with 500, without its message, and reports it", async () => {
    const failure = new Error("/secret/path: EIO");
    const reported: unknown[] = [];
    const storage = memoryStorage();
    storage.blobs.stat = () => Promise.reject(failure);
    const registry = createRegistry({ storage, onError: (error) => reported.push(error) });
    const response = await registry(request("GET", `/v2/a/blobs/${DIGEST}`));
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(reported).toEqual([failure]);
  });

  it("does not report what is the client's fault", async () => {
    const reported: unknown[] = [];
    const registry = createRegistry({ storage: memoryStorage(), onError: (error) => reported.push(error) });
    expect((await registry(request("GET", `/v2/A/blobs/${DIGEST}`))).status).toBe(400);
    expect((await registry(request("GET", "/v2/a/blobs/x"))).status).toBe(400);
    expect(reported).toEqual([]);
  });

  it("opens nothing for HEAD", async () => {
    const registry = registryOver(({ blobs }) => ({
      blobs: {
        ...blobs,
        stat: async () => 5,
        read: () => {
          throw new Error("read");
        },
      },
    }));
    expect((await registry(request("HEAD", `/v2/a/blobs/${DIGEST}`))).status).toBe(200);
  });

  it("reads a blob only as fast as its response is read, and leaves it when the response is cancelled", async () => {
    let read = 0;
    let left = false;
    const registry = registryOver(({ blobs }) => ({
      blobs: {
        ...blobs,
        stat: async () => 1_000_000,
        async *read() {
          try {
            for (; read < 1000; read++) yield new Uint8Array(1000);
          } finally {
            left = true;
          }
        },
      },
    }));
    const response = await registry(request("GET", `/v2/a/blobs/${DIGEST}`));
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.read();
    await sleep(5);
    expect(read).toBeLessThanOrEqual(2);
    await reader?.cancel();
    expect(left).toBe(true);
  });

  it("gives a blob that is a stream of bytes as it is, to be read into the reader's buffers", async () => {
    let left = false;
    const registry = registryOver(({ blobs }) => ({
      blobs: {
        ...blobs,
        stat: async () => 1000,
        read: (_, __, { offset, length }) => {
          let at = offset;
          return new ReadableStream({
            type: "bytes",
            pull(controller) {
              const view = controller.byobRequest?.view as Uint8Array;
              const count = Math.min(view.length, offset + length - at);
              view.fill(7, 0, count);
              at += count;
              controller.byobRequest?.respond(count);
            },
            cancel() {
              left = true;
            },
          });
        },
      },
    }));
    const headers = { Range: "bytes=10-109" };
    const response = await registry(request("GET", `/v2/a/blobs/${DIGEST}`, { headers }));
    expect(response.headers.get("Content-Length")).toBe("100");
    const reader = response.body?.getReader({ mode: "byob" });
    expect((await reader?.read(new Uint8Array(60)))?.value).toEqual(new Uint8Array(60).fill(7));
    expect((await reader?.read(new Uint8Array(60)))?.value).toEqual(new Uint8Array(40).fill(7));
    await reader?.cancel();
    expect(left).toBe(true);
  });

  it("answers several ranges with one multipart response, of the length that it says", async () => {
    const read: { offset: number; length: number }[] = [];
    const registry = registryOver(({ blobs }) => ({
      blobs: {
        ...blobs,
        stat: async () => 100,
        async *read(_name, _digest, { offset, length }) {
          read.push({ offset, length });
          for (let at = offset; at < offset + length; at++) yield Uint8Array.of(at);
        },
      },
    }));
    const headers = { Range: "bytes=3-4,13-13,90-" };
    const response = await registry(request("GET", `/v2/a/blobs/${DIGEST}`, { headers }));
    expect(response.status).toBe(206);
    expect(response.headers.has("Content-Range")).toBe(false);
    const [, boundary = ""] =
      /^multipart\/byteranges; boundary=(\S+)$/.exec(response.headers.get("Content-Type") ?? "") ?? [];
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(response.headers.get("Content-Length")).toBe(String(bytes.length));
    const head = (range: string): string =>
      `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${range}/100\r\n\r\n`;
    expect(bytes.toString("latin1")).toBe(
      `\r\n${head("3-4")}\x03\x04\r\n${head("13-13")}\r\r\n${head("90-99")}Z[\\]^_\`abc\r\n--${boundary}--\r\n`,
    );
    const asked = read.splice(0);
    expect(asked.map(({ length }) => length)).toEqual([2, 1, 10]);
    const looked = await registry(request("HEAD", `/v2/a/blobs/${DIGEST}`, { headers }));
    expect(looked.headers.get("Content-Length")).toBe(String(bytes.length));
    expect(read).toEqual([]);
  });

  it("fails a response whose blob fails midway, rather than end it", async () => {
    const registry = registryOver(({ blobs }) => ({
      blobs: {
        ...blobs,
        stat: async () => 10,
        async *read() {
          yield BYTES;
          throw new Error("EIO");
        },
      },
    }));
    const response = await registry(request("GET", `/v2/a/blobs/${DIGEST}`));
    await expect(response.arrayBuffer()).rejects.toThrow("EIO");
  });

  it("answers a full storage with 507 and drops the upload", async () => {
    const storage = memoryStorage({ maxBytes: 4 });
    const registry = createRegistry({ storage });
    const upload = await storage.uploads.begin("a");
    const path = `/v2/a/blobs/uploads/${upload.id}`;
    expect((await registry(request("PATCH", path, { body: BYTES }))).status).toBe(507);
    expect((await registry(request("GET", path))).status).toBe(404);
    const small = bytesOf("1234");
    const query = `?digest=${digestOf(small)}`;
    expect((await registry(request("POST", `/v2/a/blobs/uploads/${query}`, { body: small }))).status).toBe(201);
  });

  it("answers an upload that another request is using with 409", async () => {
    const storage = memoryStorage();
    const registry = createRegistry({ storage });
    const upload = await storage.uploads.begin("a");
    const path = `/v2/a/blobs/uploads/${upload.id}`;
    const gate = createGate();
    const body = new ReadableStream({
      async start(stream) {
        stream.enqueue(BYTES);
        await gate.passed;
        stream.close();
      },
    });
    const first = registry(request("PATCH", path, { body }));
    while (upload.size < BYTES.length) await sleep(1);
    expect((await registry(request("PATCH", path, { body: BYTES }))).status).toBe(409);
    expect((await registry(request("DELETE", path))).status).toBe(409);
    expect((await registry(request("GET", path))).headers.get("Range")).toBe("0-4");
    gate.open();
    expect((await first).status).toBe(202);
    expect((await registry(request("PUT", `${path}?digest=${DIGEST}`))).status).toBe(201);
  });

  it("answers one upload too many with 429", async () => {
    const registry = createRegistry({ storage: memoryStorage({ maxUploads: 1 }) });
    expect((await registry(request("POST", "/v2/a/blobs/uploads/"))).status).toBe(202);
    expect((await registry(request("POST", "/v2/a/blobs/uploads/"))).status).toBe(429);
  });

  it("drops the upload of a POST whose body fails", async () => {
    const registry = createRegistry({ storage: memoryStorage({ maxUploads: 1 }) });
    const body = new ReadableStream({ start: (stream) => stream.error(new Error("reset")) });
    const failed = await registry(request("POST", `/v2/a/blobs/uploads/?digest=${DIGEST}`, { body }));
    expect(failed.status).toBe(500);
    expect((await registry(request("POST", "/v2/a/blobs/uploads/"))).status).toBe(202);
  });

  it("reads little more of a manifest than it may have", async () => {
    let chunks = 0;
    const body = new ReadableStream(
      {
        pull(stream) {
          chunks += 1;
          stream.enqueue(new Uint8Array(1 << 20));
        },
      },
      { highWaterMark: 0 },
    );
    const registry = createRegistry({ storage: memoryStorage() });
    expect((await registry(request("PUT", "/v2/a/manifests/v1", { body }))).status).toBe(413);
    expect(chunks).toBeLessThanOrEqual(6);
  });

  it("answers HEAD wherever it answers GET, with the same headers and no body", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const body = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }));
    await registry(request("PUT", "/v2/a/manifests/v1", { body, headers: { "Content-Type": mediaType } }));
    const upload = await registry(request("POST", "/v2/a/blobs/uploads/"));
    for (const path of [
      "/v2/",
      "/v2/_catalog",
      "/v2/a/tags/list",
      "/v2/a/manifests/v1",
      `/v2/a/blobs/${digestOf(body)}`,
      `/v2/a/referrers/${digestOf(body)}`,
      upload.headers.get("Location") ?? "",
      "/v2/a/manifests/none",
    ]) {
      const [get, head] = [await registry(request("GET", path)), await registry(request("HEAD", path))];
      expect(head.status, path).toBe(get.status);
      expect([...head.headers], path).toEqual([...get.headers]);
      expect(await head.text()).toBe("");
    }
  });

  it("refuses to delete what it is told to keep, with 405", async () => {
    for (const kept of ["tags", "manifests", "blobs"] as const) {
      const registry = createRegistry({ storage: memoryStorage(), deletion: { [kept]: false } });
      const mediaType = "application/vnd.oci.image.index.v1+json";
      const body = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }));
      const digest = digestOf(body);
      await registry(request("PUT", "/v2/a/manifests/v1", { body, headers: { "Content-Type": mediaType } }));
      for (const [kind, path] of [
        ["tags", "/v2/a/manifests/v1"],
        ["manifests", `/v2/a/manifests/${digest}`],
        ["blobs", `/v2/a/blobs/${digest}`],
      ] as const) {
        expect((await registry(request("DELETE", path))).status).toBe(kind === kept ? 405 : 202);
        if (kind === kept) expect((await registry(request("GET", path))).status).toBe(200);
      }
    }
  });

  it("takes an index of what is no manifest, as build caches are, once its blobs are there", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: BYTES.length };
    const body = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [layer] }));
    const put = async (): Promise<number> =>
      (await registry(request("PUT", "/v2/a/manifests/cache", { body, headers: { "Content-Type": mediaType } })))
        .status;
    expect(await put()).toBe(404);
    await registry(request("POST", `/v2/a/blobs/uploads/?digest=${DIGEST}`, { body: BYTES }));
    expect(await put()).toBe(201);
  });

  it("shows names from requests escaped", async () => {
    const registry = createRegistry({ storage: memoryStorage() });
    const response = await registry(request("GET", "/v2/a%0A%1B[31m/tags/list"));
    const { errors } = (await response.json()) as { errors: { message: string }[] };
    expect(errors[0]?.message).toContain(String.raw`"a\n\u001b[31m"`);
  });
});

describe("RegistryError", () => {
  it("has a code and its name", () => {
    const error = new RegistryError("blob_unknown", "cannot read blob: not there");
    expect([error.code, error.name]).toEqual(["blob_unknown", "RegistryError"]);
  });
});
