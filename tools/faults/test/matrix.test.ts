import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { prepareBench, requireIntact, requireTidy } from "../src/bench.js";
import type { Bench } from "../src/bench.js";
import { chooseFailure, chooseKill, formatCase, parseCase, runMatrix } from "../src/matrix.js";
import type { MatrixOptions } from "../src/matrix.js";
import { OPERATIONS } from "../src/operations.js";
import { missingForShim } from "../src/shim.js";

const reason = missingForShim();
const { LAMELLA_FAULT_CASES, LAMELLA_FAULT_SECONDS, LAMELLA_FAULT_SEED } = process.env;
const seed = Number(LAMELLA_FAULT_SEED ?? 1);
const LONGEST_MS = 24 * 3_600_000;

describe.skipIf(reason !== undefined)(`the fault matrix (${reason ?? `seed ${seed}`})`, () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await prepareBench();
  }, 120_000);
  afterAll(() => bench?.[Symbol.dispose]());

  async function expectNoFault(title: string, usual: number, choose: MatrixOptions["choose"]): Promise<void> {
    const seconds = LAMELLA_FAULT_SECONDS === undefined ? undefined : Number(LAMELLA_FAULT_SECONDS);
    const cases = LAMELLA_FAULT_CASES === undefined ? (seconds ? undefined : usual) : Number(LAMELLA_FAULT_CASES);
    const { failed, counts, cases: count } = await runMatrix(bench, { seed, cases, seconds, choose });
    const outcomes = [...counts].toSorted().map(([what, times]) => `${what} ${times}`);
    console.log(`${count} ${title}, seed ${seed}: ${outcomes.join(", ")}`);
    expect(failed.map(({ fault, error }) => `${formatCase(fault)}: ${error.message}`)).toEqual([]);
    expect(count).toBeGreaterThan(0);
  }

  it(
    "a process that is killed anywhere loses nothing, shows nothing half done, and the next one finishes",
    () => expectNoFault("kills", 16, chooseKill),
    LONGEST_MS,
  );

  it(
    "a call that fails is a typed error that leaves no temporary file, and the next try succeeds",
    () => expectNoFault("failures", 10, chooseFailure),
    LONGEST_MS,
  );

  it("finds what is wrong: a damaged blob, a stray file", async () => {
    const damaged = await bench.freshStore();
    const [digest] = bench.namesAfter().values();
    writeFileSync(join(damaged.store, "blobs", digest!.replace(":", "/")), "damaged");
    await expect(requireIntact(bench, damaged.store)).rejects.toThrow(/check: blob_damaged/);
    const littered = await bench.freshStore();
    writeFileSync(join(littered.store, "layers/stray"), "");
    await expect(requireTidy(bench, littered, "tag")).rejects.toThrow("left layers/stray");
  });

  it("names a case by a text that repeats it", () => {
    for (const operation of Object.keys(OPERATIONS)) {
      for (const fault of [
        { operation, kind: "before", at: 3, errno: undefined },
        { operation, kind: "on", at: 7, errno: "EMFILE" },
        { operation, kind: "timer", at: 120, errno: undefined },
      ] as const) {
        expect(parseCase(formatCase(fault))).toEqual(fault);
      }
    }
    for (const text of ["", "pull", "pull@never@3", "fly@before@3", "pull@once@3@EPERM"]) {
      expect(() => parseCase(text)).toThrow(/cannot repeat/);
    }
  });
});
