import { describe, expect, it } from "vitest";

import { loadCrashers } from "../src/crashers.js";
import { fuzz } from "../src/fuzz.js";
import { fuzzLoop } from "../src/fuzz-loop.js";
import { BYTE_MUTATIONS, mutate } from "../src/mutate.js";
import type { FuzzTarget } from "../src/target.js";
import { TARGETS } from "../src/targets.js";

const SECONDS = Number(process.env["LAMELLA_FUZZ_SECONDS"] ?? 20) / TARGETS.length;
const SEED = Date.now() % 2 ** 31;

describe.each(TARGETS)("fuzzing $name", (target) => {
  it(`finds no fault in ${SECONDS} s (seed ${SEED})`, { timeout: 60_000 + 2000 * SECONDS }, async () => {
    const { report, faults } = await fuzz({ target: target.name, seconds: SECONDS, seed: SEED });
    expect(faults.map(({ reason, input }) => `${reason}\n${Buffer.from(input).toString("base64")}`)).toEqual([]);
    // Or it has not got anywhere.
    expect(report?.runs).toBeGreaterThan(100);
    expect(report?.taken).toBeGreaterThan(0);
    expect(report?.coveredBySeeds).toBeGreaterThan(10_000);
  });

  it("takes most of its seeds", async () => {
    const seeds = await target.seeds(1);
    const taken = await Promise.all(seeds.slice(0, 30).map((input) => target.run(input)));
    expect(taken.filter(Boolean).length).toBeGreaterThan(taken.length / 4);
  });

  it("finds no fault any more in what was one", async () => {
    for (const { input } of await loadCrashers(target.name)) await target.run(input);
  });
});

const watch = { begin: () => undefined, end: () => undefined };

function planted(run: (input: Uint8Array) => boolean): FuzzTarget {
  return {
    name: "planted",
    seeds: () => Promise.resolve([new Uint8Array(16)]),
    mutate: (input, random, other) => mutate(input, BYTE_MUTATIONS, random, other),
    run: async (input) => run(input),
  };
}

describe("the fuzzer", () => {
  it("finds a planted fault and gives the input", async () => {
    const target = planted((input) => {
      if (input.includes(0x80)) throw new TypeError("planted");
      return true;
    });
    const faults: { input: Uint8Array; error: unknown }[] = [];
    const onFault = (input: Uint8Array, error: unknown): void => void faults.push({ input, error });
    await fuzzLoop(target, { seconds: 10, seed: 1, watch, onFault });
    expect(faults).toHaveLength(1);
    expect(faults[0]?.error).toBeInstanceOf(TypeError);
    expect(faults[0]?.input.includes(0x80)).toBe(true);
  });

  it("tries the same inputs for the same seed", async () => {
    const inputsOf = async (seed: number): Promise<string[]> => {
      const inputs: string[] = [];
      const target = planted((input) => {
        inputs.push(Buffer.from(input).toString("hex"));
        if (inputs.length === 50) throw new Error("enough");
        return false;
      });
      await fuzzLoop(target, { seconds: 10, seed, watch, onFault: () => undefined });
      return inputs;
    };
    expect(await inputsOf(1)).toEqual(await inputsOf(1));
    expect(await inputsOf(1)).not.toEqual(await inputsOf(2));
  });

  it("gives the input that never comes to an end", async () => {
    const program = new URL("hanging-thread.mjs", import.meta.url);
    const { report, faults } = await fuzz({ target: "tar", seconds: 1, seed: 1, hangMs: 200, program });
    expect(report).toBeUndefined();
    expect(faults.map(({ input }) => Buffer.from(input).toString())).toEqual(["hang"]);
    expect(faults[0]?.reason).toBe("it takes over 200 ms");
  });
});
