import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { registryConformance } from "@lamella/registry/testing";
import { describe, it } from "vitest";

import { runDaemon } from "./fixture.js";

// what the specification alone says is asked of lamellad in tools/e2e, beside another registry
describe("lamellad's registry, over HTTP and on disk", () => {
  registryConformance({ describe, it }, async () => {
    const { daemon, root, errors, ...running } = await runDaemon();
    return {
      send: fetch,
      origin: daemon.url,
      deletesBlobs: false,
      async [Symbol.asyncDispose]() {
        await daemon.stop(0);
        assert.deepEqual(errors, []);
        assert.deepEqual(await readdir(join(root, "ingest")), []);
        await running[Symbol.asyncDispose]();
      },
    };
  });
});
