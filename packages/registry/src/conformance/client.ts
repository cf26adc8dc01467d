import assert from "node:assert/strict";

import { digestOf, OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest, DigestAlgorithm } from "@lamella/refs";

import type { ConformanceGroup, RegistryFixture } from "./fixture.js";

export interface SendOptions {
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** The requests that tests are made of. */
export interface Requests {
  send(method: string, path: string, options?: SendOptions): Promise<Response>;
  /** Begins an upload and gives its path. */
  begin(repository: string): Promise<string>;
  pushBlob(repository: string, bytes: Uint8Array, algorithm?: DigestAlgorithm): Promise<Digest>;
  putManifest(repository: string, reference: string, manifest: PutManifest): Promise<Response>;
  /** An image of a config and one layer; different for each `text`. Gives its manifest. */
  pushImage(repository: string, reference: string, text: string): Promise<PushedManifest>;
}

/** Requests to the registry of one test. */
export interface Client extends Requests {
  readonly fixture: RegistryFixture;
}

interface PutManifest {
  readonly mediaType: string | undefined;
  readonly body: Uint8Array;
}

interface PushedManifest {
  readonly body: Uint8Array;
  readonly descriptor: Descriptor;
}

/** A test with a client of a fresh registry. */
export function withClient(group: ConformanceGroup, test: (client: Client) => Promise<void>): () => Promise<void> {
  return async () => {
    await using fixture = await group.createFixture();
    await test({ fixture, ...createClient(fixture) });
  };
}

export function createClient(fixture: Pick<RegistryFixture, "send" | "origin">): Requests {
  const client: Requests = {
    send(method, path, { headers = {}, body } = {}) {
      const init = { method, headers, body: body === undefined ? null : bodyInit(body), duplex: "half" as const };
      return fixture.send(new Request(new URL(path, fixture.origin), init));
    },
    async begin(repository) {
      const response = await client.send("POST", `/v2/${repository}/blobs/uploads/`);
      await expectStatus(response, 202);
      return header(response, "Location");
    },
    async pushBlob(repository, bytes, algorithm = "sha256") {
      const digest = digestOf(bytes, algorithm);
      const location = await client.begin(repository);
      await expectStatus(await client.send("PUT", endingAs(digest, location), { body: bytes }), 201);
      return digest;
    },
    putManifest(repository, reference, { mediaType, body }) {
      const headers = mediaType === undefined ? {} : { "Content-Type": mediaType };
      return client.send("PUT", `/v2/${repository}/manifests/${reference}`, { headers, body });
    },
    async pushImage(repository, reference, text) {
      const body = imageManifest(bytesOf(`config of ${text}`), bytesOf(`layer of ${text}`));
      await client.pushBlob(repository, bytesOf(`config of ${text}`));
      await client.pushBlob(repository, bytesOf(`layer of ${text}`));
      await expectStatus(await client.putManifest(repository, reference, { mediaType: OCI_MANIFEST, body }), 201);
      return { body, descriptor: describe(body, OCI_MANIFEST) };
    },
  };
  return client;
}

/** An upload's location with the digest that it is to end as; other registries keep a state in its query. */
export function endingAs(digest: string, location: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
}

export function imageManifest(config: Uint8Array, ...layers: Uint8Array[]): Uint8Array {
  return json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: describe(config, OCI_CONFIG),
    layers: layers.map((layer) => describe(layer, OCI_LAYER_TAR)),
  });
}

export function describe(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

export function json(value: unknown): Uint8Array {
  return bytesOf(JSON.stringify(value, null, 3));
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export async function* chunksOf(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytesOf(text);
}

export function header(response: Response, name: string): string {
  const value = response.headers.get(name);
  assert.ok(value !== null, `the response has no ${name} header`);
  return value;
}

/** Also reads the body away, so that its connection can be used again. */
export async function expectStatus(response: Response, status: number): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, status, text);
}

/** An error document as the specification has it. */
export async function expectError(response: Response, status: number, code: string): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  const document = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
  assert.deepEqual(
    document.errors?.map((error) => error.code),
    [code],
  );
  assert.equal(typeof document.errors?.[0]?.message, "string");
}

export async function expectBody(response: Response, body: Uint8Array): Promise<void> {
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), body);
}

function bodyInit(body: Uint8Array | AsyncIterable<Uint8Array>): Uint8Array<ArrayBuffer> | ReadableStream {
  return body instanceof Uint8Array ? new Uint8Array(body) : ReadableStream.from(body);
}
