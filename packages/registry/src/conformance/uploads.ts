import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";

import { MALFORMED_DIGESTS } from "./blobs.js";
import { bytesOf, chunksOf, endingAs, expectBody, expectError, expectStatus, header, withClient } from "./client.js";
import type { Client } from "./client.js";
import type { ConformanceGroup } from "./fixture.js";

const BYTES = bytesOf("hello, registry");
const DIGEST = digestOf(BYTES);

async function expectBlob(client: Client, repository: string, digest: string): Promise<void> {
  await expectBody(await client.send("GET", `/v2/${repository}/blobs/${digest}`), BYTES);
}

export function uploadTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  for (const algorithm of ["sha256", "sha384", "sha512"] as const) {
    const digest = digestOf(BYTES, algorithm);
    const finish = async (client: Client, location: string, body?: Uint8Array): Promise<void> => {
      const path = endingAs(encodeURIComponent(digest), location);
      const response = await client.send("PUT", path, body === undefined ? {} : { body });
      assert.equal(header(response, "Location"), `/v2/a/b/blobs/${digest}`);
      assert.equal(header(response, "Docker-Content-Digest"), digest);
      await expectStatus(response, 201);
      await expectBlob(client, "a/b", digest);
    };

    describe(`uploads that end as ${algorithm}`, () => {
      it(
        "take a blob by POST and PUT",
        withClient(group, async (client) => {
          await finish(client, await client.begin("a/b"), BYTES);
        }),
      );

      it(
        "take a blob by one POST",
        withClient(group, async (client) => {
          const response = await client.send("POST", `/v2/a/b/blobs/uploads/?digest=${digest}`, { body: BYTES });
          assert.equal(header(response, "Location"), `/v2/a/b/blobs/${digest}`);
          await expectStatus(response, 201);
          await expectBlob(client, "a/b", digest);
        }),
      );

      it(
        "take a blob by a PATCH of unknown length and an empty PUT",
        withClient(group, async (client) => {
          const location = await client.begin("a/b");
          const response = await client.send("PATCH", location, { body: chunksOf("hello", ", ", "registry") });
          assert.equal(header(response, "Range"), "0-14");
          await expectStatus(response, 202);
          await finish(client, header(response, "Location"));
        }),
      );

      it(
        "take a blob in chunks, the last by PUT",
        withClient(group, async (client) => {
          const location = await client.begin("a/b");
          for (const [start, end] of [
            [0, 4],
            [5, 9],
          ] as const) {
            const headers = { "Content-Range": `${start}-${end}`, "Content-Type": "application/octet-stream" };
            const response = await client.send("PATCH", location, { headers, body: BYTES.slice(start, end + 1) });
            assert.equal(header(response, "Range"), `0-${end}`);
            await expectStatus(response, 202);
          }
          await finish(client, location, BYTES.slice(10));
        }),
      );

      it(
        "answer content of another digest with 400 and are gone",
        withClient(group, async (client) => {
          const location = await client.begin("a/b");
          const response = await client.send("PUT", endingAs(digest, location), {
            body: bytesOf("something else"),
          });
          await expectError(response, 400, "DIGEST_INVALID");
          await expectError(await client.send("GET", location), 404, "BLOB_UPLOAD_UNKNOWN");
          const once = await client.send("POST", `/v2/a/b/blobs/uploads/?digest=${digest}`, {
            body: bytesOf("nor this"),
          });
          await expectError(once, 400, "DIGEST_INVALID");
          await expectStatus(await client.send("HEAD", `/v2/a/b/blobs/${digest}`), 404);
        }),
      );
    });
  }
  describe("uploads", () => uploadStateTests(group));
  describe("uploads in chunks", () => chunkTests(group));
}

function uploadStateTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "begin with a relative location and an identifier",
    withClient(group, async (client) => {
      const response = await client.send("POST", "/v2/a/b/blobs/uploads/");
      const id = header(response, "Docker-Upload-UUID");
      assert.equal(header(response, "Location"), `/v2/a/b/blobs/uploads/${id}`);
      assert.equal(header(response, "Range"), "0-0");
      await expectStatus(response, 202);
    }),
  );

  it(
    "tell how far they are",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      await expectStatus(await client.send("PATCH", location, { body: BYTES }), 202);
      const response = await client.send("GET", location);
      assert.equal(header(response, "Range"), `0-${BYTES.length - 1}`);
      assert.equal(header(response, "Location"), location);
      await expectStatus(response, 204);
    }),
  );

  it(
    "are cancelled",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      await expectStatus(await client.send("DELETE", location), 204);
      await expectError(await client.send("GET", location), 404, "BLOB_UPLOAD_UNKNOWN");
    }),
  );

  it(
    "that are unknown, finished or another repository's are 404",
    withClient(group, async (client) => {
      const finished = await client.begin("a");
      await expectStatus(await client.send("PUT", endingAs(DIGEST, finished), { body: BYTES }), 201);
      const elsewhere = (await client.begin("b")).replace("/v2/b/", "/v2/a/");
      for (const location of [finished, elsewhere, "/v2/a/blobs/uploads/none"]) {
        await expectError(await client.send("GET", location), 404, "BLOB_UPLOAD_UNKNOWN");
        await expectError(await client.send("PATCH", location, { body: BYTES }), 404, "BLOB_UPLOAD_UNKNOWN");
        await expectError(await client.send("PUT", endingAs(DIGEST, location)), 404, "BLOB_UPLOAD_UNKNOWN");
        await expectError(await client.send("DELETE", location), 404, "BLOB_UPLOAD_UNKNOWN");
      }
    }),
  );

  it(
    "answer a malformed or missing digest with 400 and go on",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      for (const digest of MALFORMED_DIGESTS) {
        const response = await client.send("PUT", endingAs(digest, location), { body: BYTES });
        await expectError(response, 400, "DIGEST_INVALID");
        await expectError(await client.send("POST", `/v2/a/blobs/uploads/?digest=${digest}`), 400, "DIGEST_INVALID");
      }
      await expectError(await client.send("PUT", location, { body: BYTES }), 400, "DIGEST_INVALID");
      await expectStatus(await client.send("PUT", endingAs(DIGEST, location), { body: BYTES }), 201);
    }),
  );

  it(
    "take a blob that is there already",
    withClient(group, async (client) => {
      await client.pushBlob("a", BYTES);
      await client.pushBlob("a", BYTES);
      await expectBlob(client, "a", DIGEST);
    }),
  );

  it(
    "are needless for a blob that can be mounted",
    withClient(group, async (client) => {
      await client.pushBlob("from/here", BYTES);
      const response = await client.send("POST", `/v2/to/there/blobs/uploads/?mount=${DIGEST}&from=from%2Fhere`);
      assert.equal(header(response, "Location"), `/v2/to/there/blobs/${DIGEST}`);
      assert.equal(header(response, "Docker-Content-Digest"), DIGEST);
      await expectStatus(response, 201);
      await expectBlob(client, "to/there", DIGEST);
    }),
  );

  it(
    "begin when a blob cannot be mounted",
    withClient(group, async (client) => {
      for (const mount of [DIGEST, "sha256:no-digest"]) {
        const response = await client.send("POST", `/v2/a/blobs/uploads/?mount=${mount}&from=b`);
        const location = header(response, "Location");
        await expectStatus(response, 202);
        await expectStatus(await client.send("GET", location), 204);
      }
    }),
  );
}

function chunkTests(group: ConformanceGroup): void {
  const { it } = group;

  it(
    "answer a chunk that is out of order with 416 and where they are, and go on",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      const patch = (range: string, body: Uint8Array): Promise<Response> =>
        client.send("PATCH", location, { headers: { "Content-Range": range }, body });
      await expectStatus(await patch("0-4", BYTES.slice(0, 5)), 202);
      for (const range of ["0-4", "4-8", "6-10"]) {
        const response = await patch(range, BYTES.slice(0, 5));
        assert.equal(header(response, "Range"), "0-4");
        assert.equal(header(response, "Location"), location);
        await expectStatus(response, 416);
      }
      await expectStatus(await patch("5-14", BYTES.slice(5)), 202);
      await expectStatus(await client.send("PUT", endingAs(DIGEST, location)), 201);
    }),
  );

  it(
    "answer a last chunk that is out of order with 416 and go on",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      const put = (range: string): Promise<Response> =>
        client.send("PUT", endingAs(DIGEST, location), { headers: { "Content-Range": range }, body: BYTES });
      await expectStatus(await put("1-15"), 416);
      await expectStatus(await put("0-14"), 201);
    }),
  );

  it(
    "answer a malformed Content-Range with 416",
    withClient(group, async (client) => {
      const location = await client.begin("a");
      for (const range of ["0", "4-0", "a-b", "-1-3", "0-", "bytes 0-14/15", "0-99999999999999999999"]) {
        const response = await client.send("PATCH", location, { headers: { "Content-Range": range }, body: BYTES });
        await expectStatus(response, 416);
      }
      const response = await client.send("GET", location);
      assert.equal(header(response, "Range"), "0-0");
      await expectStatus(response, 204);
    }),
  );

  it(
    "answer a chunk that is longer or shorter than it says with 400",
    withClient(group, async (client) => {
      for (const range of ["0-15", "0-13"]) {
        const location = await client.begin("a");
        const response = await client.send("PATCH", location, { headers: { "Content-Range": range }, body: BYTES });
        await expectError(response, 400, "SIZE_INVALID");
      }
    }),
  );
}
