import { rmSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { prepareBench } from "../src/bench.js";
import type { Bench } from "../src/bench.js";
import { runWorker } from "../src/run-worker.js";
import { CALLS, missingForShim, pointOf } from "../src/shim.js";
import type { Call, Fault, TracedCall } from "../src/shim.js";

const reason = missingForShim();

describe.skipIf(reason !== undefined)(`the shim (${reason ?? "preloaded into a process that pulls"})`, () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await prepareBench(["pull"]);
  }, 60_000);
  afterAll(() => bench[Symbol.dispose]());

  async function pullWith(fault: Fault, calls: readonly Call[] = CALLS): ReturnType<typeof runWorker> {
    const place = await bench.freshStore();
    try {
      const trace = join(place.directory, "trace");
      return await runWorker("pull", place, { shim: { directory: place.store, trace, calls, fault } });
    } finally {
      rmSync(place.directory, { recursive: true });
    }
  }

  it("sees what Node does and what SQLite does", () => {
    const points = new Set(bench.rehearsals.get("pull")!.calls.map(pointOf));
    expect([...points]).toEqual(
      expect.arrayContaining([
        "open ingest/…",
        "write ingest/…",
        "fsync ingest/…",
        "rename blobs/sha256/…",
        "fsync blobs/sha256",
        "mkdir layers/….tmp",
        "write layers/….tmp/contents",
        "rename layers/…",
        "open lamella.db",
        "write lamella.db-wal",
        "fsync lamella.db-wal",
        "rename index.json",
      ]),
    );
  });

  it.each(["before", "half", "after"] as const)("kills the process: %s", async (kind) => {
    const { calls } = bench.rehearsals.get("pull")!;
    const write = calls.find(({ call }: TracedCall) => call === "write")!;
    expect(await pullWith({ at: write.number, kind })).toMatchObject({ killed: true, acknowledged: false });
  });

  it.each(["once", "on"] as const)("fails a call: %s", async (kind) => {
    // the first that gets a name is an archive or a blob
    const { killed, acknowledged, error } = await pullWith({ at: 1, kind, errno: "EIO" }, ["rename"]);
    expect({ killed, acknowledged, isTyped: error?.isTyped }).toEqual({
      killed: false,
      acknowledged: false,
      isTyped: true,
    });
  });
});
