import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";

import { expectPutManifest, listReferrers, nextPage, pushEmptyConfig, smallManifest } from "./manifests.js";
import { expectStatus, newBytes } from "./probe.js";
import type { Probe, SpecificationTest } from "./probe.js";

const TAGS = ["alpha", "beta", "delta", "epsilon", "gamma"];

export const discoveryTests: readonly SpecificationTest[] = [
  {
    group: "ping",
    name: "tells that the registry is one",
    run: async ({ send }) => expectStatus(await send("GET", "/v2/"), 200),
  },
  {
    group: "tags",
    name: "of an empty repository are none",
    async run({ repository, send }) {
      const response = await send("GET", `/v2/${repository}/tags/list`);
      if (response.status !== 200) return expectStatus(response, 404);
      assert.deepEqual(((await response.json()) as { tags: string[] | null }).tags ?? [], []);
    },
  },
  {
    group: "tags",
    name: "are listed in order",
    async run(probe) {
      await pushTags(probe);
      assert.deepEqual(await listTags(probe), TAGS);
    },
  },
  {
    group: "tags",
    name: "are listed after another",
    async run(probe) {
      await pushTags(probe);
      assert.deepEqual(await listTags(probe, "?last=beta"), TAGS.slice(2));
      assert.deepEqual(await listTags(probe, "?n=2&last=beta"), TAGS.slice(2, 4));
    },
  },
  {
    group: "tags",
    name: "are listed so many at a time, in pages that lead to each other",
    async run(probe) {
      await pushTags(probe);
      assert.deepEqual(await listTags(probe, "?n=2"), TAGS.slice(0, 2));
      const found: string[] = [];
      for (let path: string | undefined = `/v2/${probe.repository}/tags/list?n=2`; path !== undefined;) {
        const response = await probe.send("GET", path);
        found.push(...((await response.json()) as { tags: string[] }).tags);
        path = nextPage(response);
      }
      assert.deepEqual(found, TAGS);
    },
  },
  {
    group: "tags",
    name: "are none when none are wanted, and lead nowhere",
    async run(probe) {
      await pushTags(probe);
      const response = await probe.send("GET", `/v2/${probe.repository}/tags/list?n=0`);
      assert.equal(response.headers.get("Link"), null);
      assert.deepEqual(((await response.json()) as { tags: string[] | null }).tags ?? [], []);
    },
  },
  {
    group: "referrers",
    name: "of what nobody knows are none",
    async run(probe) {
      const listed = await listReferrers(probe, digestOf(newBytes(10)));
      if (listed === undefined) return probe.lack("listing referrers");
      assert.deepEqual(listed.manifests, []);
    },
  },
  {
    group: "referrers",
    name: "of a malformed digest are refused",
    async run(probe) {
      const response = await probe.send("GET", `/v2/${probe.repository}/referrers/sha256:baddigeststring`);
      await expectStatus(response, 400, 404);
      if (response.status === 404) probe.lack("listing referrers");
    },
  },
  {
    group: "referrers",
    name: "are those of one repository, whichever came first",
    async run(probe) {
      await pushEmptyConfig(probe);
      const subject = smallManifest({ "org.example.name": probe.repository });
      const { mediaType, bytes } = subject;
      const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
      const early = smallManifest({ "org.example.order": "early" }, descriptor);
      const late = smallManifest({ "org.example.order": "late" }, descriptor);
      for (const manifest of [early, subject, late]) await expectPutManifest(probe, manifest);
      const listed = await listReferrers(probe, descriptor.digest);
      if (listed === undefined) return probe.lack("listing referrers");
      const digests = listed.manifests.map(({ digest }) => digest as string);
      assert.deepEqual(digests.sort(), [early.reference, late.reference].sort());
      const elsewhere = await listReferrers({ ...probe, repository: probe.other }, descriptor.digest);
      assert.deepEqual(elsewhere?.manifests, []);
    },
  },
  {
    group: "catalog",
    name: "lists repositories, and goes on after one",
    async run(probe) {
      await pushTags(probe);
      const before = probe.repository.slice(0, -1);
      const response = await probe.send("GET", `/v2/_catalog?n=1&last=${encodeURIComponent(before)}`);
      await expectCatalog(response, [probe.repository]);
    },
  },
];

async function expectCatalog(response: Response, repositories: readonly string[]): Promise<void> {
  assert.equal(response.status, 200);
  assert.deepEqual(((await response.json()) as { repositories: string[] }).repositories, repositories);
}

async function pushTags(probe: Probe): Promise<void> {
  await pushEmptyConfig(probe);
  const manifest = smallManifest({ "org.example.name": probe.repository });
  for (const reference of [...TAGS].reverse()) await expectPutManifest(probe, { ...manifest, reference });
}

async function listTags({ repository, send }: Probe, query = ""): Promise<string[]> {
  const response = await send("GET", `/v2/${repository}/tags/list${query}`);
  assert.equal(response.status, 200);
  const { name, tags } = (await response.json()) as { name: string; tags: string[] };
  assert.equal(name, repository);
  return tags;
}
