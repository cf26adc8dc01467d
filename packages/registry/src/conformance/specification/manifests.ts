import assert from "node:assert/strict";

import { digestOf, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, parseIndex } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";

import { bytesOf, header } from "../client.js";
import { expectStatus } from "./probe.js";
import type { Probe } from "./probe.js";
import { UPLOAD_WAYS } from "./uploads.js";

/** What a client has to say that it takes. */
export const MANIFEST_TYPES: string = `${OCI_MANIFEST}, ${OCI_INDEX}`;

export interface NewManifest {
  readonly reference: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly subject?: Digest | undefined;
}

/** Puts a manifest that has to be taken; notes a registry that does not look at its subject. */
export async function expectPutManifest(probe: Probe, manifest: NewManifest): Promise<Response> {
  const response = await putManifest(probe, manifest);
  await expectStatus(response, 201);
  const at = await probe.send("GET", header(response, "Location"), { headers: { Accept: MANIFEST_TYPES } });
  await expectStatus(at, 200);
  const { subject } = manifest;
  if (subject === undefined) return response;
  const seen = response.headers.get("OCI-Subject");
  if (seen === null) probe.lack("listing referrers");
  else assert.equal(seen, subject);
  return response;
}

export async function putManifest(probe: Probe, { reference, mediaType, bytes }: NewManifest): Promise<Response> {
  const options = { headers: { "Content-Type": mediaType }, body: bytes };
  return probe.send("PUT", `/v2/${probe.repository}/manifests/${reference}`, options);
}

/** A manifest of no content, which `annotations` tell from others; its config has to be there. */
export function smallManifest(annotations: Readonly<Record<string, string>>, subject?: Descriptor): NewManifest {
  const empty = bytesOf("{}");
  const config = { mediaType: OCI_EMPTY, digest: digestOf(empty), size: empty.length };
  const artifactType = "application/vnd.example.small";
  const fields = { artifactType, config, layers: [config], annotations, ...(subject !== undefined && { subject }) };
  const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, ...fields }));
  return { reference: digestOf(bytes), mediaType: OCI_MANIFEST, bytes, subject: subject?.digest };
}

export async function pushEmptyConfig(probe: Probe): Promise<void> {
  const bytes = bytesOf("{}");
  const blob = { repository: probe.repository, digest: digestOf(bytes), bytes };
  await expectStatus((await UPLOAD_WAYS["by POST and PUT"]?.(probe, blob)) as Response, 201);
}

export async function expectMissing(probe: Probe, reference: string): Promise<void> {
  for (const method of ["GET", "HEAD"]) {
    const options = { headers: { Accept: MANIFEST_TYPES } };
    await expectStatus(await probe.send(method, `/v2/${probe.repository}/manifests/${reference}`, options), 404);
  }
}

export interface ReferrerList {
  readonly manifests: readonly Descriptor[];
  /** `OCI-Filters-Applied`. */
  readonly filters: readonly string[];
}

/** All pages; undefined where the registry has no such API. */
export async function listReferrers(probe: Probe, subject: string, query = ""): Promise<ReferrerList | undefined> {
  const manifests: Descriptor[] = [];
  let filters: string[] = [];
  for (let path: string | undefined = `/v2/${probe.repository}/referrers/${subject}${query}`; path !== undefined;) {
    const response = await probe.send("GET", path);
    if (response.status === 404) {
      await expectStatus(response, 404);
      return undefined;
    }
    assert.equal(response.status, 200);
    assert.equal(header(response, "Content-Type"), OCI_INDEX);
    manifests.push(...parseIndex(new Uint8Array(await response.arrayBuffer()), OCI_INDEX).manifests);
    filters = (response.headers.get("OCI-Filters-Applied") ?? "").split(",").map((filter) => filter.trim());
    path = nextPage(response);
  }
  return { manifests, filters };
}

/** Where a `Link` header (RFC 8288) says that the list goes on. */
export function nextPage(response: Response): string | undefined {
  return /^<([^>]+)>;\s*rel="?next"?$/.exec(response.headers.get("Link") ?? "")?.[1];
}
