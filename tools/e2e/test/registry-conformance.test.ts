import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startRegistry as startLamellad } from "@lamella/demo/sample";
import { missing } from "@lamella/oracles";
import { checkSpecification } from "@lamella/registry/testing";
import type { SpecificationResult } from "@lamella/registry/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startDockerRegistry } from "./docker-registry.js";

type Results = readonly SpecificationResult[];

async function resultsOf(registry: AsyncDisposable & { readonly address: string }): Promise<Results> {
  try {
    return await checkSpecification({ send: fetch, origin: `http://${registry.address}` });
  } finally {
    await registry[Symbol.asyncDispose]();
  }
}

const isWrong = ({ failure }: SpecificationResult): boolean => failure !== undefined;
const isWhole = (result: SpecificationResult): boolean => !isWrong(result) && result.lacks.length === 0;

/** `12 right of 12, 8 without deleting blobs`: what may be left out is not wrong. */
function summaryOf(results: Results): string {
  const lacking = results.filter(({ lacks }) => lacks.length > 0);
  const features = [...new Set(lacking.flatMap(({ lacks }) => lacks))].join(", ");
  const right = `${results.filter((result) => !isWrong(result)).length} right of ${results.length}`;
  return lacking.length === 0 ? right : `${right}, ${lacking.length} without ${features}`;
}

function table(ours: Results, theirs: Results | undefined): string {
  const groups = [...new Set(ours.map(({ group }) => group))];
  const rows = groups.map((name) => {
    const inGroup = (results: Results): Results => results.filter(({ group }) => group === name);
    return [name, summaryOf(inGroup(ours)), theirs === undefined ? "" : summaryOf(inGroup(theirs))];
  });
  return [["OCI distribution-spec 1.1", "lamellad", "docker-registry"], ...rows]
    .map(([group = "", our = "", their = ""]) => `${group.padEnd(27)}${our.padEnd(44)}${their}`.trimEnd())
    .join("\n");
}

describe("what OCI distribution-spec 1.1 says", () => {
  const withoutDocker = missing(["docker-registry"]);
  let work = "";
  let ours: Results = [];
  let theirs: Results | undefined;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-conformance-"));
    const lamellad = await startLamellad(join(work, "lamellad"));
    const checks = [resultsOf(lamellad)];
    if (withoutDocker === undefined)
      checks.push(resultsOf(await startDockerRegistry({ directory: join(work, "docker") })));
    [ours = [], theirs] = await Promise.all(checks);
    console.log(table(ours, theirs));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it("lamellad does, but for the blobs that only garbage collection deletes", () => {
    expect(ours.filter(isWrong)).toEqual([]);
    expect(new Set(ours.flatMap(({ lacks }) => lacks))).toEqual(new Set(["deleting blobs"]));
    expect(ours.length).toBeGreaterThan(90);
  });

  it.skipIf(withoutDocker !== undefined)("is asked in a way that another registry understands", () => {
    const named = (group: string): Results => theirs?.filter((result) => result.group === group) ?? [];
    expect(named("ping").every(isWhole)).toBe(true);
    expect(named("blobs under sha256").filter(isWhole).length).toBeGreaterThan(named("blobs under sha256").length / 2);
    // it takes no manifest with the address of a layer that it may not hold
    const wrong = named("data under sha256").filter(isWrong);
    expect(wrong.map(({ name }) => name.split(":")[0])).toEqual(["image with layers that no registry holds"]);
  });
});
