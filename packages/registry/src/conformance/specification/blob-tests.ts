import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";
import type { Digest, DigestAlgorithm } from "@lamella/refs";

import { bytesOf, endingAs, header } from "../client.js";
import { ALGORITHMS, expectBlob, expectDeletedForGood, expectStatus, newBytes } from "./probe.js";
import type { Probe, SpecificationTest } from "./probe.js";
import { begin, UPLOAD_WAYS } from "./uploads.js";
import type { UploadWay } from "./uploads.js";

const BLOB_BYTES = 3067;

const POST_AND_PUT = UPLOAD_WAYS["by POST and PUT"] as UploadWay;

export const blobTests: readonly SpecificationTest[] = ALGORITHMS.flatMap((algorithm) => [
  ...uploadTests(algorithm),
  ...mountTests(algorithm),
  ...knownBlobTests(algorithm),
  ...badDigestTests(algorithm),
]);

function uploadTests(algorithm: DigestAlgorithm): SpecificationTest[] {
  const group = `blobs under ${algorithm}`;
  const pushed = Object.entries(UPLOAD_WAYS).map(([name, way]) => ({
    group,
    name: `are pushed ${name}, read and deleted`,
    run: async (probe: Probe) => {
      const bytes = newBytes(BLOB_BYTES);
      const digest = digestOf(bytes, algorithm);
      const response = await way(probe, { repository: probe.repository, digest, bytes });
      await expectStatus(response, 201);
      await expectPullable(probe, response);
      await expectBlob(probe, probe.repository, digest, bytes);
      await expectDeletedForGood(probe, `/v2/${probe.repository}/blobs/${digest}`, "deleting blobs");
    },
  }));
  return [
    ...pushed,
    {
      group,
      name: "that nobody pushed are 404",
      async run({ repository, send }) {
        const digest = digestOf(newBytes(10), algorithm);
        for (const method of ["GET", "HEAD"]) {
          await expectStatus(await send(method, `/v2/${repository}/blobs/${digest}`), 404);
        }
      },
    },
    {
      group,
      name: "are given up when their upload is cancelled",
      async run(probe) {
        const location = await begin(probe, probe.repository);
        const response = await probe.send("DELETE", location);
        await expectStatus(response, 204, 202, 405);
        if (response.status !== 204) return probe.lack("cancelling uploads");
        await expectStatus(await probe.send("GET", location), 404);
      },
    },
  ];
}

/** The specification wants `Location` to lead to the blob. */
async function expectPullable(probe: Probe, response: Response): Promise<void> {
  await expectStatus(await probe.send("HEAD", header(response, "Location")), 200);
}

function mountTests(algorithm: DigestAlgorithm): SpecificationTest[] {
  const group = `mounts under ${algorithm}`;

  async function expectMount(probe: Probe, from: string, feature: string): Promise<void> {
    const bytes = newBytes(100);
    const digest = digestOf(bytes, algorithm);
    await expectStatus(await POST_AND_PUT(probe, { repository: probe.other, digest, bytes }), 201);
    const response = await probe.send("POST", `/v2/${probe.repository}/blobs/uploads/?mount=${digest}${from}`);
    await expectStatus(response, 201, 202);
    if (response.status === 202) return probe.lack(feature);
    await expectPullable(probe, response);
    await expectBlob(probe, probe.repository, digest, bytes);
  }

  return [
    {
      group,
      name: "lend a blob of another repository",
      run: (probe) => expectMount(probe, `&from=${encodeURIComponent(probe.other)}`, "mounting blobs"),
    },
    {
      group,
      name: "find a blob without being told where",
      run: (probe) => expectMount(probe, "", "mounting blobs from anywhere"),
    },
    {
      group,
      name: "of what is nowhere begin an upload",
      async run(probe) {
        const bytes = newBytes(100);
        const digest = digestOf(bytes, algorithm);
        const query = `mount=${digest}&from=${encodeURIComponent(probe.other)}`;
        const response = await probe.send("POST", `/v2/${probe.repository}/blobs/uploads/?${query}`);
        await expectStatus(response, 202);
        const finished = await probe.send("PUT", endingAs(digest, header(response, "Location")), { body: bytes });
        await expectStatus(finished, 201);
        await expectBlob(probe, probe.repository, digest, bytes);
      },
    },
  ];
}

function knownBlobTests(algorithm: DigestAlgorithm): SpecificationTest[] {
  return ["", "{}"].map((text) => ({
    group: `blobs under ${algorithm}`,
    name: `may be ${JSON.stringify(text)}`,
    async run(probe) {
      const bytes = bytesOf(text);
      const digest = digestOf(bytes, algorithm);
      const { repository } = probe;
      await expectStatus(await POST_AND_PUT(probe, { repository, digest, bytes }), 201);
      await expectBlob(probe, repository, digest, bytes);
    },
  }));
}

function badDigestTests(algorithm: DigestAlgorithm): SpecificationTest[] {
  const group = `bad digests under ${algorithm}`;
  const ways = Object.entries(UPLOAD_WAYS).filter(([name]) => !name.includes("out of order"));
  const wrong = ways.map(([name, way]) => ({
    group,
    name: `of content that is pushed ${name} are refused`,
    async run(probe: Probe) {
      const digest = digestOf(newBytes(10), algorithm);
      await expectStatus(await way(probe, { repository: probe.repository, digest, bytes: newBytes(BLOB_BYTES) }), 400);
      await expectStatus(await probe.send("HEAD", `/v2/${probe.repository}/blobs/${digest}`), 404);
    },
  }));
  const malformed: SpecificationTest = {
    group,
    name: "that are malformed are refused",
    async run(probe) {
      const { repository } = probe;
      for (const text of [
        `${algorithm}:`,
        `${algorithm}:baddigeststring`,
        `${algorithm}:${"0".repeat(63)}`,
        "none:00",
      ]) {
        const read = await probe.send("GET", `/v2/${repository}/blobs/${text}`);
        await expectStatus(read, 400, 404);
        const response = await POST_AND_PUT(probe, { repository, digest: text as Digest, bytes: newBytes(10) });
        assert.equal(response.status, 400, text);
        await expectStatus(response, 400);
      }
    },
  };
  return [...wrong, malformed];
}
