import { digestOf, OCI_MANIFEST } from "@lamella/refs";

import { bytesOf } from "../client.js";
import { expectMissing, expectPutManifest, pushEmptyConfig, putManifest, smallManifest } from "./manifests.js";
import { expectDeletedForGood, expectStatus, newBytes } from "./probe.js";
import type { SpecificationTest } from "./probe.js";

export const manifestTests: readonly SpecificationTest[] = [
  {
    group: "manifests",
    name: "that nobody pushed are 404, by tag and by digest",
    async run(probe) {
      for (const reference of ["missing", digestOf(newBytes(10))]) await expectMissing(probe, reference);
    },
  },
  {
    group: "manifests",
    name: "under a malformed digest are refused",
    async run(probe) {
      await pushEmptyConfig(probe);
      const reference = "sha256:baddigeststring";
      await expectStatus(await putManifest(probe, { ...smallManifest({}), reference }), 400);
      await expectStatus(await probe.send("GET", `/v2/${probe.repository}/manifests/${reference}`), 400, 404);
    },
  },
  {
    group: "manifests",
    name: "under another's digest are refused",
    async run(probe) {
      await pushEmptyConfig(probe);
      const reference = digestOf(newBytes(10));
      await expectStatus(await putManifest(probe, { ...smallManifest({}), reference }), 400);
      await expectMissing(probe, reference);
    },
  },
  {
    group: "manifests",
    name: "that are none are refused",
    async run(probe) {
      const response = await putManifest(probe, {
        reference: "v1",
        mediaType: OCI_MANIFEST,
        bytes: bytesOf("not JSON"),
      });
      await expectStatus(response, 400);
      await expectMissing(probe, "v1");
    },
  },
  {
    group: "deletes",
    name: "of a tag leave its manifest and its other tags",
    async run(probe) {
      await pushEmptyConfig(probe);
      const manifest = smallManifest({ "org.example.name": probe.repository });
      for (const reference of ["one", "two"]) await expectPutManifest(probe, { ...manifest, reference });
      await expectDeletedForGood(probe, `/v2/${probe.repository}/manifests/one`, "deleting tags");
      const options = { headers: { Accept: manifest.mediaType } };
      for (const reference of ["two", manifest.reference]) {
        await expectStatus(await probe.send("GET", `/v2/${probe.repository}/manifests/${reference}`, options), 200);
      }
    },
  },
  {
    group: "deletes",
    name: "of a manifest take its tags along",
    async run(probe) {
      await pushEmptyConfig(probe);
      const manifest = smallManifest({ "org.example.name": probe.repository });
      for (const reference of ["one", "two"]) await expectPutManifest(probe, { ...manifest, reference });
      await expectDeletedForGood(
        probe,
        `/v2/${probe.repository}/manifests/${manifest.reference}`,
        "deleting manifests",
      );
      for (const reference of ["one", "two"]) await expectMissing(probe, reference);
    },
  },
  {
    group: "deletes",
    name: "of what is not there are 404",
    async run({ repository, send, lack }) {
      const digest = digestOf(newBytes(10));
      for (const [path, feature] of [
        [`manifests/missing`, "deleting tags"],
        [`manifests/${digest}`, "deleting manifests"],
        [`blobs/${digest}`, "deleting blobs"],
      ] as const) {
        const response = await send("DELETE", `/v2/${repository}/${path}`);
        await expectStatus(response, 404, 400, 405);
        if (response.status !== 404) lack(feature);
      }
    },
  },
];
