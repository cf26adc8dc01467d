import { openImageStore } from "@lamella/image-store";
import { missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { prepareBench, requireIntact, requireTidy } from "../src/bench.js";
import type { Bench } from "../src/bench.js";
import { requireNothingTemporary, requireTyped } from "../src/matrix.js";
import { releaseClosed } from "../src/release-closed.js";
import { runWorker } from "../src/run-worker.js";
import { missingForShim } from "../src/shim.js";
import { mountSmall } from "../src/small-file-system.js";
import { readAll } from "../src/stored-files.js";

const reason = missing(["root", "mount", "mkfs.ext4"]) ?? missingForShim();
const KIB = 1 << 10;
const OPERATIONS = ["pull", "convert-ext4", "import-docker"] as const;

/** Each operation with so little left that it cannot end, or only just. */
const PLACES = [
  {
    what: "a tmpfs without room",
    type: "tmpfs",
    fill: "fillBytes",
    left: { pull: 150 * KIB, "convert-ext4": 900 * KIB },
  },
  { what: "a tmpfs without inodes", type: "tmpfs", fill: "fillInodes", left: { pull: 9, "import-docker": 2 } },
  {
    what: "an ext4 without room",
    type: "ext4",
    fill: "fillBytes",
    left: { "import-docker": 150 * KIB, pull: 300 * KIB },
  },
  { what: "an ext4 without inodes", type: "ext4", fill: "fillInodes", left: { "convert-ext4": 9, pull: 2 } },
] as const;

describe.skipIf(reason !== undefined)(`a full file system (${reason ?? "G103"})`, () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await prepareBench([...OPERATIONS]);
  }, 60_000);
  afterAll(() => bench?.[Symbol.dispose]());

  it.each(PLACES)(
    "$what is said to be so: nothing is left, all is read, and with room it goes on",
    async ({ type, fill, left: operations }) => {
      using small = mountSmall({ type, sizeBytes: 24 << 20, inodes: 400 });
      const codes: string[] = [];
      for (const [operation, left] of Object.entries(operations)) {
        const place = await bench.freshStore(small.path);
        await using reader = await openImageStore(place.store);
        small[fill](left);
        const outcome = await runWorker(operation, place);
        requireTyped(outcome);
        codes.push(outcome.error === undefined ? "done" : codeOf(outcome.error));
        requireNothingTemporary(place.store);
        expect(await readAll(reader, bench.known)).toEqual(
          bench.namesAfter(outcome.acknowledged ? operation : undefined),
        );
        small.empty();
        await requireIntact(bench, place.store);
        await requireTidy(bench, place, operation);
      }
      await releaseClosed();
      expect(new Set(codes)).toContain("no_space");
      expect(codes.filter((code) => code !== "no_space" && code !== "done")).toEqual([]);
    },
    120_000,
  );

  it("is read though index.json cannot be written: by those who open a store, and to its end", async () => {
    using small = mountSmall({ type: "tmpfs", sizeBytes: 16 << 20, inodes: 400 });
    const place = await bench.freshStore(small.path);
    {
      await using store = await openImageStore(place.store);
      // as after a change by a process that was killed before it wrote the file
      await store.database.write((queries) => queries.updateTable("layout").set({ wanted: 1000 }).execute());
      small.fillInodes(0);
      await using reader = await openImageStore(place.store);
      expect(await readAll(reader, bench.known)).toEqual(bench.namesAfter());
      await expect(reader.flush()).rejects.toMatchObject({ code: "no_space" });
      small.empty();
      await store.flush();
    }
    await requireIntact(bench, place.store);
    await releaseClosed();
  }, 60_000);

  it("a limit of open files is said to be so: nothing is lost, and without it it goes on", async () => {
    const codes = new Set<string>();
    for (const spareFiles of [1, 5, 12]) {
      const place = await bench.freshStore();
      const outcome = await runWorker("convert-ext4", place, { spareFiles });
      // what the source of an image throws comes through as it is
      if (outcome.error?.message.includes(place.images) !== true) requireTyped(outcome);
      codes.add(outcome.error === undefined ? "done" : codeOf(outcome.error));
      requireNothingTemporary(place.store);
      await requireIntact(bench, place.store);
      await requireTidy(bench, place, "convert-ext4");
    }
    expect(codes).toContain("too_many_files");
  }, 60_000);
});

/** A build tells what stopped it in its message. */
function codeOf({ code, message }: { code: string | undefined; message: string }): string {
  if (code !== "build_failed") return code ?? "none";
  if (/no room/.test(message)) return "no_space";
  return /too many files/.test(message) ? "too_many_files" : message;
}
