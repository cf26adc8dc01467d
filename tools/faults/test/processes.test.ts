import { openImageStore } from "@lamella/image-store";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { prepareBench, requireIntact } from "../src/bench.js";
import type { Bench } from "../src/bench.js";
import { startCountedRegistry } from "../src/counted-registry.js";
import { runCrowd } from "../src/crowd.js";
import { pullFrom } from "../src/operations.js";
import { runWorker } from "../src/run-worker.js";

const PROCESSES = 8;
const SECONDS = Number(process.env["LAMELLA_FAULT_SECONDS"] ?? 10);
const seed = Number(process.env["LAMELLA_FAULT_SEED"] ?? 1);

describe("eight processes", () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await prepareBench([]);
  }, 60_000);
  afterAll(() => bench?.[Symbol.dispose]());

  it("that pull one image at once fetch each of its layers once, and have one result (G105)", async () => {
    const place = await bench.freshStore();
    await using registry = await startCountedRegistry(bench.images, { image: "c", together: PROCESSES });
    const operation = pullFrom(registry.reference);
    const outcomes = await Promise.all(Array.from({ length: PROCESSES }, () => runWorker(operation, place)));
    expect(outcomes.map(({ error }) => error?.message)).toEqual(outcomes.map(() => undefined));
    const names = await requireIntact(bench, place.store);
    await using store = await openImageStore(place.store);
    const { layers, digest } = await store.get("from-registry");
    expect(names.get("docker.io/library/from-registry:latest")).toBe(digest);
    // the lowest was there
    const counts = layers.map((layer) => registry.fetched.get(layer.descriptor.digest) ?? 0);
    expect(counts).toEqual([0, 0, 1, 1]);
  }, 60_000);

  it("that ask for one disk at once have it built once", async () => {
    const place = await bench.freshStore();
    const outcomes = await Promise.all(Array.from({ length: PROCESSES }, () => runWorker("convert-ext4", place)));
    expect(outcomes.map(({ error }) => error?.message)).toEqual(outcomes.map(() => undefined));
    await requireIntact(bench, place.store);
    await using store = await openImageStore(place.store);
    const builds = await store.database.read((queries) =>
      queries.selectFrom("builds").select(["name", "attempts"]).where("name", "like", "%four%").execute(),
    );
    expect(builds).toEqual([{ name: "docker.io/library/four:latest", attempts: 1 }]);
  }, 60_000);

  it(
    `pull, convert, tag, delete, copy and collect garbage for ${SECONDS} s (seed ${seed}): what is held stays, and a check finds nothing (G106)`,
    async () => {
      const { done, refused, faults } = await runCrowd({ processes: PROCESSES, seconds: SECONDS, seed });
      console.log(`seed ${seed}: ${JSON.stringify({ done, refused })}`);
      expect(faults).toEqual([]);
      const some = expect.any(Number);
      expect(done).toMatchObject({ pull: some, convert: some, gc: some, "hold and read": some });
    },
    SECONDS * 1000 + 120_000,
  );
});
