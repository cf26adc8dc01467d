import assert from "node:assert/strict";

import { digestAlgorithm, digestOf, parseDigest } from "@lamella/refs";
import type { Digest, DigestAlgorithm } from "@lamella/refs";

import { createClient } from "../client.js";
import type { SendOptions } from "../client.js";

/** A registry that tests are sent to, empty or not, ours or another's. */
export interface RegistryTarget {
  /** Answers a request, directly or over a network. */
  readonly send: (request: Request) => Promise<Response>;
  /** Where requests are sent to, `http://127.0.0.1:5000`; anything for one that answers directly. */
  readonly origin: string;
}

/** What a test has to do with: two repositories of its own, and where to note what the registry says that it cannot do. */
export interface Probe {
  readonly repository: string;
  readonly other: string;
  /** `path` is one of the registry's, or the `Location` of an answer. */
  send(method: string, path: string, options?: SendOptions): Promise<Response>;
  /** Notes what the specification lets a registry leave out, and this one has. */
  lack(feature: string): void;
}

/** A test of what the specification says, of every registry. */
export interface SpecificationTest {
  readonly group: string;
  readonly name: string;
  readonly run: (probe: Probe) => Promise<void>;
}

export const ALGORITHMS: readonly DigestAlgorithm[] = ["sha256", "sha512"];

export function createProbe(target: RegistryTarget, lacks: Set<string>): Probe {
  const place = `conformance/${globalThis.crypto.randomUUID().slice(0, 8)}`;
  const { send } = createClient(target);
  return { repository: `${place}/one`, other: `${place}/two`, send, lack: (feature) => void lacks.add(feature) };
}

/** Content that no registry has. */
export function newBytes(size: number): Uint8Array<ArrayBuffer> {
  return globalThis.crypto.getRandomValues(new Uint8Array(size));
}

/** Checks that the status of an answer is one of these, and reads the answer away. */
export async function expectStatus(response: Response, ...statuses: number[]): Promise<void> {
  const { status } = response;
  // what a registry says to an error is its own affair, even if it breaks off
  const text = await response.text().catch(() => "");
  const asked = response.url === "" ? "" : ` of ${response.url}`;
  assert.ok(statuses.includes(status), `status${asked} is ${status}, not ${statuses.join(" or ")}: ${text}`);
}

/** The answer is that content, with its length, and with a digest that is its own. */
export async function expectContent(response: Response, bytes: Uint8Array, method: string): Promise<void> {
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("Content-Length"), String(bytes.length));
  const digest = response.headers.get("Docker-Content-Digest");
  assert.ok(digest !== null, "there is no Docker-Content-Digest");
  assert.equal(digest, digestOf(bytes, digestAlgorithm(parseDigest(digest))));
  await expectBytes(response, method === "HEAD" ? new Uint8Array() : bytes);
}

/** Says no more of bytes than how many there are: to show where megabytes differ takes minutes. */
export async function expectBytes(response: Response, bytes: Uint8Array): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  const isSame = Buffer.compare(body, bytes) === 0;
  assert.ok(isSame, `the content is not what was pushed: ${body.length} bytes for ${bytes.length}`);
}

export async function expectBlob(probe: Probe, repository: string, digest: Digest, bytes: Uint8Array): Promise<void> {
  for (const method of ["HEAD", "GET"]) {
    const response = await probe.send(method, `/v2/${repository}/blobs/${digest}`);
    await expectContent(response, bytes, method);
  }
}

/** Deletes and looks that it is gone; notes a registry that does not delete, and gives whether it does. */
export async function expectDeleted(probe: Probe, path: string, feature: string): Promise<boolean> {
  const response = await probe.send("DELETE", path);
  await expectStatus(response, 202, 400, 405);
  if (response.status !== 202) {
    probe.lack(feature);
    return false;
  }
  await expectStatus(await probe.send("HEAD", path), 404);
  return true;
}

/** The same, and once more. */
export async function expectDeletedForGood(probe: Probe, path: string, feature: string): Promise<void> {
  if (!(await expectDeleted(probe, path, feature))) return;
  await expectStatus(await probe.send("GET", path), 404);
  // some delete without looking
  await expectStatus(await probe.send("DELETE", path), 404, 202);
}
