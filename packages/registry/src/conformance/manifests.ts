import assert from "node:assert/strict";

import {
  digestOf,
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_TAR,
  OCI_MANIFEST,
} from "@lamella/refs";

import { MALFORMED_DIGESTS } from "./blobs.js";
import {
  bytesOf,
  describe,
  expectBody,
  expectError,
  expectStatus,
  header,
  imageManifest,
  json,
  withClient,
} from "./client.js";
import type { Client } from "./client.js";
import type { ConformanceGroup } from "./fixture.js";

const CONFIG = bytesOf("{}");
const LAYER = bytesOf("a layer");
const IMAGE = imageManifest(CONFIG, LAYER);
const MANIFEST_MAX_BYTES = 4 << 20;

async function pushContent(client: Client, repository: string): Promise<void> {
  await client.pushBlob(repository, CONFIG);
  await client.pushBlob(repository, LAYER);
}

export function manifestTests(group: ConformanceGroup): void {
  group.describe("manifests", () => {
    readTests(group);
    typeTests(group);
    deleteTests(group);
  });
  group.describe("manifests that are refused", () => refusalTests(group));
}

function readTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "are read by tag and by digest, byte for byte",
    withClient(group, async (client) => {
      const { body, descriptor } = await client.pushImage("a/b", "v1", "one");
      for (const reference of ["v1", descriptor.digest]) {
        for (const method of ["HEAD", "GET"]) {
          const response = await client.send(method, `/v2/a/b/manifests/${reference}`);
          assert.equal(response.status, 200);
          assert.equal(header(response, "Content-Type"), OCI_MANIFEST);
          assert.equal(header(response, "Content-Length"), String(body.length));
          assert.equal(header(response, "Docker-Content-Digest"), descriptor.digest);
          await expectBody(response, method === "HEAD" ? new Uint8Array() : body);
        }
      }
    }),
  );

  it(
    "are put by digest of each algorithm",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      for (const algorithm of ["sha256", "sha384", "sha512"] as const) {
        const digest = digestOf(IMAGE, algorithm);
        const response = await client.putManifest("a", digest, { mediaType: OCI_MANIFEST, body: IMAGE });
        assert.equal(header(response, "Location"), `/v2/a/manifests/${digest}`);
        assert.equal(header(response, "Docker-Content-Digest"), digest);
        await expectStatus(response, 201);
        await expectBody(await client.send("GET", `/v2/a/manifests/${digest}`), IMAGE);
      }
    }),
  );

  it(
    "stay readable by digest when their tag moves",
    withClient(group, async (client) => {
      const old = await client.pushImage("a", "latest", "old");
      const young = await client.pushImage("a", "latest", "young");
      await expectBody(await client.send("GET", "/v2/a/manifests/latest"), young.body);
      await expectBody(await client.send("GET", `/v2/a/manifests/${old.descriptor.digest}`), old.body);
    }),
  );

  it(
    "are of one repository",
    withClient(group, async (client) => {
      const { descriptor } = await client.pushImage("a", "v1", "one");
      await expectError(await client.send("GET", "/v2/b/manifests/v1"), 404, "MANIFEST_UNKNOWN");
      const byDigest = await client.send("GET", `/v2/b/manifests/${descriptor.digest}`);
      await expectError(byDigest, 404, "MANIFEST_UNKNOWN");
    }),
  );

  it(
    "that are unknown are 404, also under what cannot be a tag",
    withClient(group, async (client) => {
      for (const reference of ["none", ".INVALID_MANIFEST_NAME", "a".repeat(129), digestOf(IMAGE)]) {
        await expectError(await client.send("GET", `/v2/a/manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
        await expectStatus(await client.send("HEAD", `/v2/a/manifests/${reference}`), 404);
        await expectError(await client.send("DELETE", `/v2/a/manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
      }
    }),
  );

  it(
    "under a malformed digest are 400",
    withClient(group, async (client) => {
      for (const digest of MALFORMED_DIGESTS) {
        await expectError(await client.send("GET", `/v2/a/manifests/${digest}`), 400, "DIGEST_INVALID");
        const response = await client.putManifest("a", digest, { mediaType: OCI_MANIFEST, body: IMAGE });
        await expectError(response, 400, "DIGEST_INVALID");
      }
    }),
  );
}

function typeTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "are Docker's too",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const config = describe(CONFIG, DOCKER_CONFIG);
      const layers = [describe(LAYER, DOCKER_LAYER_GZIP)];
      const image = json({ schemaVersion: 2, mediaType: DOCKER_MANIFEST, config, layers });
      await expectStatus(await client.putManifest("a", "image", { mediaType: DOCKER_MANIFEST, body: image }), 201);
      const manifests = [{ ...describe(image, DOCKER_MANIFEST), platform: { os: "linux", architecture: "amd64" } }];
      const list = json({ schemaVersion: 2, mediaType: DOCKER_MANIFEST_LIST, manifests });
      await expectStatus(await client.putManifest("a", "list", { mediaType: DOCKER_MANIFEST_LIST, body: list }), 201);
      assert.equal(header(await client.send("HEAD", "/v2/a/manifests/list"), "Content-Type"), DOCKER_MANIFEST_LIST);
    }),
  );

  it(
    "are indexes too, also nested and empty ones",
    withClient(group, async (client) => {
      const { descriptor } = await client.pushImage("a", "image", "one");
      const index = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] });
      await expectStatus(await client.putManifest("a", "index", { mediaType: OCI_INDEX, body: index }), 201);
      const nested = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [describe(index, OCI_INDEX)] });
      await expectStatus(await client.putManifest("a", "nested", { mediaType: OCI_INDEX, body: nested }), 201);
      const empty = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
      await expectStatus(await client.putManifest("a", "empty", { mediaType: OCI_INDEX, body: empty }), 201);
      await expectBody(await client.send("GET", "/v2/a/manifests/nested"), nested);
    }),
  );

  it(
    "have the type of their Content-Type or of their document",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const config = describe(CONFIG, OCI_CONFIG);
      const untyped = json({ schemaVersion: 2, config, layers: [] });
      const typed = json({ schemaVersion: 2, mediaType: DOCKER_MANIFEST, config, layers: [] });
      for (const [tag, mediaType, body, type] of [
        ["a", `${OCI_MANIFEST}; charset=utf-8`, untyped, OCI_MANIFEST],
        ["b", undefined, untyped, OCI_MANIFEST],
        ["c", undefined, typed, DOCKER_MANIFEST],
      ] as const) {
        await expectStatus(await client.putManifest("a", tag, { mediaType, body }), 201);
        assert.equal(header(await client.send("HEAD", `/v2/a/manifests/${tag}`), "Content-Type"), type);
      }
    }),
  );

  it(
    "may have a subject that is not there yet and layers that no registry holds",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
      const body = json({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType: "application/vnd.example.thing",
        config: describe(CONFIG, OCI_CONFIG),
        layers: [{ ...describe(bytesOf("elsewhere"), foreign), urls: ["https://example.com/layer"] }],
        subject: describe(bytesOf("not pushed"), OCI_MANIFEST),
      });
      await expectStatus(await client.putManifest("a", "v1", { mediaType: OCI_MANIFEST, body }), 201);
    }),
  );

  it(
    "have up to 4 MiB",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const body = new Uint8Array(MANIFEST_MAX_BYTES).fill(0x20);
      body.set(IMAGE);
      await expectStatus(await client.putManifest("a", "large", { mediaType: OCI_MANIFEST, body }), 201);
      const larger = new Uint8Array(MANIFEST_MAX_BYTES + 1).fill(0x20);
      larger.set(IMAGE);
      const response = await client.putManifest("a", "larger", { mediaType: OCI_MANIFEST, body: larger });
      await expectError(response, 413, "MANIFEST_INVALID");
    }),
  );
}

function deleteTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "outlive a tag that is deleted",
    withClient(group, async (client) => {
      const { body, descriptor } = await client.pushImage("a", "v1", "one");
      await expectStatus(await client.send("DELETE", "/v2/a/manifests/v1"), 202);
      await expectError(await client.send("GET", "/v2/a/manifests/v1"), 404, "MANIFEST_UNKNOWN");
      await expectError(await client.send("DELETE", "/v2/a/manifests/v1"), 404, "MANIFEST_UNKNOWN");
      await expectBody(await client.send("GET", `/v2/a/manifests/${descriptor.digest}`), body);
    }),
  );

  it(
    "are deleted by digest with all their tags, from their repository only",
    withClient(group, async (client) => {
      const { descriptor } = await client.pushImage("a", "v1", "one");
      await client.pushImage("a", "also-v1", "one");
      await client.pushImage("a", "v2", "two");
      await client.pushImage("b", "v1", "one");
      await expectStatus(await client.send("DELETE", `/v2/a/manifests/${descriptor.digest}`), 202);
      for (const reference of ["v1", "also-v1", descriptor.digest]) {
        await expectStatus(await client.send("HEAD", `/v2/a/manifests/${reference}`), 404);
      }
      await expectStatus(await client.send("HEAD", "/v2/a/manifests/v2"), 200);
      await expectStatus(await client.send("HEAD", "/v2/b/manifests/v1"), 200);
    }),
  );

  it(
    "can be put again after they were deleted",
    withClient(group, async (client) => {
      const { descriptor } = await client.pushImage("a", "v1", "one");
      await expectStatus(await client.send("DELETE", `/v2/a/manifests/${descriptor.digest}`), 202);
      await client.pushImage("a", "v1", "one");
      await expectStatus(await client.send("HEAD", "/v2/a/manifests/v1"), 200);
    }),
  );
}

function refusalTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "are those that another digest was given for",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const digest = digestOf(bytesOf("another"));
      const response = await client.putManifest("a", digest, { mediaType: OCI_MANIFEST, body: IMAGE });
      await expectError(response, 400, "DIGEST_INVALID");
      await expectStatus(await client.send("HEAD", `/v2/a/manifests/${digest}`), 404);
    }),
  );

  it(
    "are those under what cannot be a tag",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      for (const tag of [".a", "-a", "a%2Fb", "a".repeat(129), "a%20b"]) {
        const response = await client.putManifest("a", tag, { mediaType: OCI_MANIFEST, body: IMAGE });
        await expectError(response, 400, "TAG_INVALID");
      }
    }),
  );

  it(
    "are those whose document is not one of their type",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const config = describe(CONFIG, OCI_CONFIG);
      for (const [mediaType, body] of [
        [OCI_MANIFEST, bytesOf("not json")],
        [OCI_MANIFEST, bytesOf("[]")],
        [OCI_MANIFEST, json({ schemaVersion: 1, config, layers: [] })],
        [OCI_MANIFEST, json({ schemaVersion: 2, layers: [] })],
        [OCI_MANIFEST, json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })],
        [OCI_MANIFEST, json({ schemaVersion: 2, config, layers: [], manifests: [] })],
        [OCI_MANIFEST, json({ schemaVersion: 2, config: { ...config, digest: "sha256:../x" }, layers: [] })],
        [OCI_INDEX, json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] })],
        ["application/json", IMAGE],
        ["application/vnd.docker.distribution.manifest.v1+prettyjws", json({ schemaVersion: 1 })],
      ] as const) {
        await expectError(await client.putManifest("a", "v1", { mediaType, body }), 400, "MANIFEST_INVALID");
      }
      await expectStatus(await client.send("HEAD", "/v2/a/manifests/v1"), 404);
    }),
  );

  it(
    "are those that refer to what is not there",
    withClient(group, async (client) => {
      await client.pushBlob("a", CONFIG);
      const noLayer = await client.putManifest("a", "v1", { mediaType: OCI_MANIFEST, body: IMAGE });
      await expectError(noLayer, 404, "MANIFEST_BLOB_UNKNOWN");
      const { descriptor } = await client.pushImage("elsewhere", "v1", "one");
      const index = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] });
      const noChild = await client.putManifest("a", "v1", { mediaType: OCI_INDEX, body: index });
      await expectError(noChild, 404, "MANIFEST_BLOB_UNKNOWN");
      await expectStatus(await client.send("HEAD", "/v2/a/manifests/v1"), 404);
    }),
  );

  it(
    "are those that tell a wrong size",
    withClient(group, async (client) => {
      await pushContent(client, "a");
      const layers = [{ ...describe(LAYER, OCI_LAYER_TAR), size: LAYER.length + 1 }];
      const body = json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: describe(CONFIG, OCI_CONFIG), layers });
      await expectError(
        await client.putManifest("a", "v1", { mediaType: OCI_MANIFEST, body }),
        400,
        "MANIFEST_INVALID",
      );
    }),
  );
}
