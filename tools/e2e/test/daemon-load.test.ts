import { missingForFixtures } from "@lamella/fixtures";
import { missing, runCommand } from "@lamella/oracles";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const BENCH = join(import.meta.dirname, "../../bench/bench.mjs");
const MEMORY_MAX_BYTES = 600 * 2 ** 20;
const SECONDS = 6;
const IMAGES = 20;
const LOAD = ["--pullers", "40", "--pushers", "8", "--requests", "200", "--images", String(IMAGES)];
const reason = missing(["docker-registry"]) ?? missingForFixtures();

interface Results {
  readonly errors: number;
  readonly told: readonly string[];
  readonly pulls: number;
  readonly pushes: number;
  readonly asked: number;
  readonly images: number;
  readonly built: number;
  readonly memoryBytes: { readonly max: number };
  readonly compared: { readonly errors: { readonly ours: number; readonly theirs: number } };
}

describe.skipIf(reason !== undefined)(`lamellad under load (${reason ?? "npm run bench daemon, in short"})`, () => {
  it("answers everybody, and builds each image once", async () => {
    const short = ["--seconds", String(SECONDS), "--rounds", "1", "--json"];
    const { output } = await runCommand(process.execPath, [BENCH, "daemon", ...short, ...LOAD], { accept: [0] });
    const results = JSON.parse(output.trim().split("\n").at(-1)!) as Results;
    expect(results.told).toEqual([]);
    expect(results).toMatchObject({ errors: 0, asked: 200, compared: { errors: { ours: 0, theirs: 0 } } });
    expect(results.pulls).toBeGreaterThan(0);
    expect(results.images).toBe(1 + IMAGES + results.pushes);
    expect(results.built).toBe(results.images);
    expect(results.memoryBytes.max).toBeLessThan(MEMORY_MAX_BYTES);
    console.log(JSON.stringify(results));
  });
});
