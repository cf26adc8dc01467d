import assert from "node:assert/strict";

import { blobTests } from "./blobs.js";
import { expectError, expectStatus, header, withClient } from "./client.js";
import type { ConformanceGroup, RegistryFixture, TestFunctions } from "./fixture.js";
import { listingTests } from "./listings.js";
import { manifestTests } from "./manifests.js";
import { checkSpecification, specificationGroups } from "./specification/specification.js";
import { uploadTests } from "./uploads.js";

/**
 * What every registry made by `createRegistry` does, whatever it stores its content in and whatever it listens on: the tests of
 * OCI distribution-spec 1.1 for pull, push, listings and deletion, and what that leaves open. `createFixture` is called once a test.
 */
export function registryConformance(runner: TestFunctions, createFixture: () => Promise<RegistryFixture>): void {
  const group: ConformanceGroup = { describe: runner.describe, it: runner.it, createFixture };
  pingTests(group);
  blobTests(group);
  uploadTests(group);
  manifestTests(group);
  listingTests(group);
}

/**
 * All that `checkSpecification` looks for, with nothing left out but what the fixture says that it cannot do. `createFixture` is called
 * once a group of tests.
 */
export function specificationConformance(runner: TestFunctions, createFixture: () => Promise<RegistryFixture>): void {
  runner.describe("all that OCI distribution-spec 1.1 says", () => {
    for (const name of specificationGroups) {
      runner.it(`of ${name}`, async () => {
        await using fixture = await createFixture();
        const allowed = fixture.deletesBlobs ? [] : ["deleting blobs"];
        const faults: string[] = [];
        for (const { name: test, failure, lacks } of await checkSpecification(fixture, name)) {
          if (failure !== undefined) faults.push(`${name} ${test}: ${failure}`);
          for (const feature of lacks) if (!allowed.includes(feature)) faults.push(`${name} ${test}: no ${feature}`);
        }
        assert.deepEqual(faults, []);
      });
    }
  });
}

function pingTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("the registry", () => {
    it(
      "names its API",
      withClient(group, async (client) => {
        const response = await client.send("GET", "/v2/");
        assert.equal(header(response, "Docker-Distribution-API-Version"), "registry/2.0");
        await expectStatus(response, 200);
      }),
    );

    it(
      "answers an unknown endpoint with 404",
      withClient(group, async (client) => {
        for (const path of ["/v2/a", "/v2/a/tags", "/v2/a/referrers", "/v2/a/blobs/uploads/x/y"]) {
          await expectError(await client.send("GET", path), 404, "UNSUPPORTED");
        }
      }),
    );

    it(
      "answers a method that an endpoint does not have with 405",
      withClient(group, async (client) => {
        for (const [method, path] of [
          ["DELETE", "/v2/"],
          ["POST", "/v2/_catalog"],
          ["PUT", "/v2/a/tags/list"],
          ["POST", `/v2/a/blobs/sha256:${"0".repeat(64)}`],
          ["PATCH", "/v2/a/manifests/v1"],
          ["POST", "/v2/a/blobs/uploads/x"],
        ] as const) {
          await expectError(await client.send(method, path), 405, "UNSUPPORTED");
        }
      }),
    );
  });
}
