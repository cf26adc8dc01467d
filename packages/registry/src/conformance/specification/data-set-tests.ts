import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";

import { header } from "../client.js";
import { buildDataSet, DATA_SETS } from "./data-sets.js";
import type { DataSet, SetDocument } from "./data-sets.js";
import { expectMissing, expectPutManifest, listReferrers, MANIFEST_TYPES } from "./manifests.js";
import { ALGORITHMS, expectContent, expectDeleted, expectStatus } from "./probe.js";
import type { Probe, SpecificationTest } from "./probe.js";
import { UPLOAD_WAYS } from "./uploads.js";

const TAG = "whole";
const EMPTY_BYTES = 2;

export const dataSetTests: readonly SpecificationTest[] = ALGORITHMS.flatMap((algorithm) =>
  Object.entries(DATA_SETS).map(([name, fill]) => ({
    group: `data under ${algorithm}`,
    name: `${name}: pushed, listed, read, found by what it refers to, deleted`,
    async run(probe: Probe) {
      const set = buildDataSet(algorithm, fill);
      await push(probe, set);
      await list(probe, set);
      await read(probe, set);
      await find(probe, set);
      await remove(probe, set);
    },
  })),
);

async function push(probe: Probe, { algorithm, blobs, documents }: DataSet): Promise<void> {
  const { repository } = probe;
  for (const bytes of blobs) {
    const digest = digestOf(bytes, algorithm);
    await expectStatus((await UPLOAD_WAYS["by POST and PUT"]?.(probe, { repository, digest, bytes })) as Response, 201);
  }
  for (const { descriptor, bytes, subject } of documents) {
    const put = { reference: descriptor.digest, mediaType: descriptor.mediaType, bytes, subject };
    const response = await expectPutManifest(probe, put);
    assert.equal(header(response, "Docker-Content-Digest"), descriptor.digest);
  }
  // a manifest by tag has the registry's own digest
  const tagged = taggedOf({ algorithm, documents });
  if (tagged !== undefined) {
    await expectPutManifest(probe, { ...tagged, reference: TAG, mediaType: tagged.descriptor.mediaType });
  }
}

function taggedOf({ algorithm, documents }: Pick<DataSet, "algorithm" | "documents">): SetDocument | undefined {
  return algorithm === "sha256" ? documents.at(-1) : undefined;
}

async function list(probe: Probe, set: DataSet): Promise<void> {
  if (taggedOf(set) === undefined) return;
  const response = await probe.send("GET", `/v2/${probe.repository}/tags/list`);
  assert.equal(response.status, 200);
  assert.deepEqual(((await response.json()) as { tags: string[] }).tags, [TAG]);
}

async function read(probe: Probe, set: DataSet): Promise<void> {
  const { repository } = probe;
  for (const bytes of set.blobs) {
    const response = await probe.send("GET", `/v2/${repository}/blobs/${digestOf(bytes, set.algorithm)}`);
    await expectContent(response, bytes, "GET");
  }
  const tagged = taggedOf(set);
  const references = set.documents.map((document) => [document.descriptor.digest as string, document] as const);
  if (tagged !== undefined) references.push([TAG, tagged]);
  for (const [reference, { bytes, descriptor }] of references) {
    for (const method of ["HEAD", "GET"]) {
      const options = { headers: { Accept: MANIFEST_TYPES } };
      const response = await probe.send(method, `/v2/${repository}/manifests/${reference}`, options);
      assert.equal(header(response, "Content-Type"), descriptor.mediaType);
      await expectContent(response, bytes, method);
    }
  }
}

async function find(probe: Probe, { documents }: DataSet): Promise<void> {
  for (const subject of new Set(documents.map((document) => document.subject))) {
    if (subject === undefined) continue;
    const referrers = documents.filter((document) => document.subject === subject).map(({ listedAs }) => listedAs);
    const found = await listReferrers(probe, subject);
    if (found === undefined) return probe.lack("listing referrers");
    expectSame(found.manifests, referrers);
    for (const type of new Set(referrers.map(({ artifactType }) => artifactType))) {
      if (type === undefined) continue;
      const filtered = await listReferrers(probe, subject, `?artifactType=${encodeURIComponent(type)}`);
      const isFiltered = filtered?.filters.includes("artifactType") === true;
      if (!isFiltered) probe.lack("filtering referrers");
      const wanted = referrers.filter(({ artifactType }) => !isFiltered || artifactType === type);
      expectSame(filtered?.manifests ?? [], wanted);
    }
  }
}

function expectSame(found: readonly Descriptor[], wanted: readonly Descriptor[]): void {
  const sorted = (list: readonly Descriptor[]): Descriptor[] =>
    [...list].sort((one, two) => (one.digest < two.digest ? -1 : 1));
  assert.deepEqual(sorted(found), sorted(wanted));
}

async function remove(probe: Probe, set: DataSet): Promise<void> {
  const { repository } = probe;
  if (taggedOf(set) !== undefined) await expectDeleted(probe, `/v2/${repository}/manifests/${TAG}`, "deleting tags");
  for (const { descriptor, subject } of [...set.documents].reverse()) {
    await expectDeleted(probe, `/v2/${repository}/manifests/${descriptor.digest}`, "deleting manifests");
    if (subject === undefined) continue;
    const listed = await listReferrers(probe, subject);
    assert.ok(listed === undefined || listed.manifests.every(({ digest }) => digest !== descriptor.digest));
  }
  await expectMissing(probe, TAG);
  // the empty document is in many repositories, and in some registries deleted from all
  for (const bytes of set.blobs.filter(({ length }) => length > EMPTY_BYTES)) {
    const digest = digestOf(bytes, set.algorithm);
    if (!(await expectDeleted(probe, `/v2/${repository}/blobs/${digest}`, "deleting blobs"))) return;
  }
}
