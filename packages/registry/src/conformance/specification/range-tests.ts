import assert from "node:assert/strict";

import { digestOf } from "@lamella/refs";

import { header } from "../client.js";
import { ALGORITHMS, expectBytes, expectStatus, newBytes } from "./probe.js";
import type { SpecificationTest } from "./probe.js";
import { UPLOAD_WAYS } from "./uploads.js";

const SIZE = 2048;

const RANGES: readonly (readonly [asked: string, first: number, last: number])[] = [
  ["bytes=500-1499", 500, 1499],
  ["bytes=500-", 500, SIZE - 1],
  ["bytes=-500", SIZE - 500, SIZE - 1],
  ["bytes=2000-5000", 2000, SIZE - 1],
  ["bytes=0-0", 0, 0],
];

const OUTSIDE = ["bytes=500-0", "bytes=5000-10000", `bytes=${SIZE}-`];

export const rangeTests: readonly SpecificationTest[] = ALGORITHMS.map((algorithm) => ({
  group: "ranges",
  name: `of blobs under ${algorithm} are given, and those outside refused`,
  async run(probe) {
    const bytes = newBytes(SIZE);
    const digest = digestOf(bytes, algorithm);
    const { repository } = probe;
    await expectStatus((await UPLOAD_WAYS["by POST and PUT"]?.(probe, { repository, digest, bytes })) as Response, 201);
    const path = `/v2/${repository}/blobs/${digest}`;
    for (const [asked, first, last] of RANGES) {
      const response = await probe.send("GET", path, { headers: { Range: asked } });
      if (response.status === 200) {
        await response.arrayBuffer();
        return probe.lack("ranges of blobs");
      }
      assert.equal(response.status, 206, asked);
      assert.equal(header(response, "Content-Range"), `bytes ${first}-${last}/${SIZE}`);
      assert.equal(header(response, "Content-Length"), String(last - first + 1));
      await expectBytes(response, bytes.subarray(first, last + 1));
    }
    for (const asked of OUTSIDE) await expectStatus(await probe.send("GET", path, { headers: { Range: asked } }), 416);
  },
}));
