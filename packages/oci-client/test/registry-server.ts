import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { type Descriptor, digestOf, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import { expect } from "vitest";

interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** A small real registry on loopback that a test can make misbehave. */
export interface TestRegistry extends AsyncDisposable {
  readonly host: string;
  readonly url: string;
  readonly blobs: Map<string, Uint8Array>;
  readonly manifests: Map<string, { bytes: Uint8Array; mediaType: string }>;
  readonly requests: LoggedRequest[];
  /** Sees each request first; true when it has taken it over. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;
  addBlob(bytes: Uint8Array, mediaType?: string): Descriptor;
  addManifest(tag: string, document: unknown, mediaType?: string): Descriptor;
}

export const PATH = "test/app";

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function pseudoRandom(size: number): Uint8Array {
  let state = 1;
  return new Uint8Array(size).map(() => (state = (state * 48_271) % 2_147_483_647) & 255);
}

export function imageManifest(config: Descriptor, layers: readonly Descriptor[]): object {
  return { schemaVersion: 2, mediaType: OCI_MANIFEST, config: { ...config, mediaType: OCI_CONFIG }, layers };
}

export async function startRegistry(): Promise<TestRegistry> {
  const server = createServer((request, response) => {
    void answer(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: TestRegistry = {
    host,
    url: `http://${host}`,
    blobs: new Map(),
    manifests: new Map(),
    requests: [],
    intercept: () => false,
    addBlob(bytes, mediaType = OCI_LAYER_GZIP) {
      const digest = digestOf(bytes);
      registry.blobs.set(digest, bytes);
      return { mediaType, digest, size: bytes.byteLength };
    },
    addManifest(tag, document, mediaType = OCI_MANIFEST) {
      const bytes = bytesOf(typeof document === "string" ? document : JSON.stringify(document));
      const digest = digestOf(bytes);
      registry.manifests.set(tag, { bytes, mediaType });
      registry.manifests.set(digest, { bytes, mediaType });
      return { mediaType, digest, size: bytes.byteLength };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    registry.requests.push({ method, path, headers: request.headers });
    if (await registry.intercept(request, response)) return;
    const url = new URL(path, registry.url);
    const [, kind = "", name = ""] = new RegExp(`^/v2/${PATH}/(manifests|blobs|tags)/(.*)$`).exec(url.pathname) ?? [];
    if (method === "POST" && name === "uploads/") {
      response.writeHead(202, { location: `/v2/${PATH}/blobs/uploads/1?state=a%2Fb+c` }).end();
    } else if (method === "PUT") {
      const bytes = await readAll(request);
      if (kind === "manifests")
        registry.addManifest(name, new TextDecoder().decode(bytes), request.headers["content-type"]);
      else if (digestOf(bytes) === url.searchParams.get("digest")) registry.addBlob(bytes);
      else return sendError(response, 400, "DIGEST_INVALID");
      response.writeHead(201).end();
    } else if (kind === "tags") {
      const tags = [...registry.manifests.keys()].filter((tag) => !tag.includes(":"));
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ name: PATH, tags }));
    } else {
      sendContent(request, response, { kind, name });
    }
  }

  function sendContent(
    request: IncomingMessage,
    response: ServerResponse,
    { kind, name }: { kind: string; name: string },
  ): void {
    const manifest = registry.manifests.get(name);
    const bytes = kind === "manifests" ? manifest?.bytes : registry.blobs.get(name);
    if (bytes === undefined)
      return sendError(response, 404, kind === "manifests" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN");
    const range = /^bytes=([0-9]+)-([0-9]*)$/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, bytes.byteLength) : bytes.byteLength;
    if (start >= bytes.byteLength && start > 0) return sendError(response, 416, "RANGE_INVALID");
    const headers = {
      "content-type": manifest?.mediaType ?? "application/octet-stream",
      "docker-content-digest": digestOf(bytes),
      "content-length": end - start,
      ...(range !== null && { "content-range": `bytes ${start}-${end - 1}/${bytes.byteLength}` }),
    };
    response.writeHead(range === null ? 200 : 206, headers);
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(start, end));
  }

  return registry;
}

export function sendError(response: ServerResponse, status: number, code: string, message = "no"): void {
  response
    .writeHead(status, { "content-type": "application/json" })
    .end(JSON.stringify({ errors: [{ code, message }] }));
}

/** Sends a beginning, then cuts the connection. */
export function sendCut(
  response: ServerResponse,
  bytes: Uint8Array,
  headers: Record<string, string | number>,
  status = 200,
): void {
  response.writeHead(status, headers);
  response.write(bytes, () => setTimeout(() => response.destroy(), 20));
}

export async function readAll(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

export function failure(code: string, message?: string): unknown {
  return expect.objectContaining({ code, ...(message !== undefined && { message: expect.stringContaining(message) }) });
}
