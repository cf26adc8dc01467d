import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";

import { bytesOf, expectBody, expectError, expectStatus, header, withClient } from "./client.js";
import type { ConformanceGroup } from "./fixture.js";

const BYTES = bytesOf("0123456789");
const UNKNOWN = digestOf(bytesOf("never pushed"));

export const MALFORMED_DIGESTS: readonly string[] = [
  "sha256:",
  "sha256:abc",
  `sha256:${"A".repeat(64)}`,
  `sha256:${"0".repeat(65)}`,
  `sha512:${"0".repeat(64)}`,
  `md5:${"0".repeat(32)}`,
  "sha256:..%2F..%2F..%2Fetc%2Fpasswd",
  `sha256:${"0".repeat(63)}%00`,
];

const RANGES: readonly (readonly [asked: string, given: string, text: string])[] = [
  ["bytes=0-0", "bytes 0-0/10", "0"],
  ["bytes=3-5", "bytes 3-5/10", "345"],
  ["bytes=7-", "bytes 7-9/10", "789"],
  ["bytes=8-9000", "bytes 8-9/10", "89"],
  ["bytes=-4", "bytes 6-9/10", "6789"],
  ["bytes=-4000", "bytes 0-9/10", "0123456789"],
];

export function blobTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("blobs", () => {
    it(
      "are read with their size and digest",
      withClient(group, async (client) => {
        const digest = await client.pushBlob("a/b", BYTES);
        for (const method of ["HEAD", "GET"]) {
          const response = await client.send(method, `/v2/a/b/blobs/${digest}`);
          assert.equal(response.status, 200);
          assert.equal(header(response, "Content-Length"), "10");
          assert.equal(header(response, "Docker-Content-Digest"), digest);
          await expectBody(response, method === "HEAD" ? new Uint8Array() : BYTES);
        }
      }),
    );

    it(
      "of no bytes are blobs",
      withClient(group, async (client) => {
        const digest = await client.pushBlob("a", new Uint8Array());
        const response = await client.send("GET", `/v2/a/blobs/${digest}`);
        assert.equal(header(response, "Content-Length"), "0");
        await expectBody(response, new Uint8Array());
      }),
    );

    it(
      "are read in ranges",
      withClient(group, async (client) => {
        const digest = await client.pushBlob("a", BYTES);
        for (const [asked, given, text] of RANGES) {
          const response = await client.send("GET", `/v2/a/blobs/${digest}`, { headers: { Range: asked } });
          assert.equal(response.status, 206, asked);
          assert.equal(header(response, "Content-Range"), given);
          assert.equal(header(response, "Content-Length"), String(text.length));
          await expectBody(response, bytesOf(text));
        }
      }),
    );

    it(
      "are read whole when the ranges overlap, or are of another unit or nonsense",
      withClient(group, async (client) => {
        const digest = await client.pushBlob("a", BYTES);
        for (const Range of ["bytes=0-3,3-4", "lines=0-1", "bytes=-", "bytes=a-b"]) {
          const response = await client.send("GET", `/v2/a/blobs/${digest}`, { headers: { Range } });
          assert.equal(response.status, 200, Range);
          await expectBody(response, BYTES);
        }
      }),
    );

    it(
      "answer a range that is none of theirs with 416 and their size",
      withClient(group, async (client) => {
        const digest = await client.pushBlob("a", BYTES);
        for (const Range of ["bytes=10-", "bytes=10-12", "bytes=5-3", "bytes=99999999999999999999-", "bytes=-0"]) {
          const response = await client.send("GET", `/v2/a/blobs/${digest}`, { headers: { Range } });
          assert.equal(header(response, "Content-Range"), "bytes */10", Range);
          await expectStatus(response, 416);
        }
      }),
    );

    it(
      "are read whole when If-Range names other content",
      withClient(group, async (client) => {
        const path = `/v2/a/blobs/${await client.pushBlob("a", BYTES)}`;
        const etag = header(await client.send("HEAD", path), "ETag");
        const same = await client.send("GET", path, { headers: { Range: "bytes=1-2", "If-Range": etag } });
        await expectStatus(same, 206);
        const other = await client.send("GET", path, { headers: { Range: "bytes=1-2", "If-Range": '"other"' } });
        await expectStatus(other, 200);
      }),
    );

    it(
      "that are unknown are 404",
      withClient(group, async (client) => {
        await expectError(await client.send("GET", `/v2/a/blobs/${UNKNOWN}`), 404, "BLOB_UNKNOWN");
        await expectStatus(await client.send("HEAD", `/v2/a/blobs/${UNKNOWN}`), 404);
      }),
    );

    it(
      "under a malformed digest are 400",
      withClient(group, async (client) => {
        for (const digest of MALFORMED_DIGESTS) {
          await expectError(await client.send("GET", `/v2/a/blobs/${digest}`), 400, "DIGEST_INVALID");
        }
      }),
    );

    it(
      "under a malformed repository name are 400",
      withClient(group, async (client) => {
        for (const name of ["A", "a//b", "a/", "-a", "a..b", "a___b", "a%20b", "%2e%2e%2fa", `a${"/a".repeat(128)}`]) {
          await expectError(await client.send("GET", `/v2/${name}/blobs/${UNKNOWN}`), 400, "NAME_INVALID");
        }
      }),
    );

    it(
      "are deleted, or that is refused",
      withClient(group, async (client) => {
        const path = `/v2/a/blobs/${await client.pushBlob("a", BYTES)}`;
        if (!client.fixture.deletesBlobs) {
          await expectError(await client.send("DELETE", path), 405, "UNSUPPORTED");
          await expectStatus(await client.send("HEAD", path), 200);
          return;
        }
        await expectStatus(await client.send("DELETE", path), 202);
        await expectError(await client.send("DELETE", path), 404, "BLOB_UNKNOWN");
        await expectStatus(await client.send("HEAD", path), 404);
      }),
    );
  });
}
