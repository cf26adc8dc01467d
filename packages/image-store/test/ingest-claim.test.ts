import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Digest } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { claimAbandonedPart, newPartName, releasedPartName } from "../src/ingest-claim.js";

const DIGEST: Digest = `sha256:${"a".repeat(64)}`;
const OTHER: Digest = `sha256:${"b".repeat(64)}`;

describe("a part of a blob", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "claim-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function leave(rename: (name: string) => string): Promise<string> {
    const name = rename(await newPartName(DIGEST));
    writeFileSync(join(directory, name), "part");
    return name;
  }

  /** A pid that was one a moment ago. */
  const deadPid = (): number => spawnSync("true").pid;

  it("is not taken from a process that is alive", async () => {
    await leave((name) => name);
    expect(await claimAbandonedPart(directory, DIGEST, await newPartName(DIGEST))).toBe(false);
  });

  it("is taken from a process that is dead, by one taker", async () => {
    await leave((name) => name.replace(`.${process.pid}.`, `.${deadPid()}.`));
    const takers = await Promise.all([newPartName(DIGEST), newPartName(DIGEST), newPartName(DIGEST)]);
    const claims = await Promise.all(takers.map((own) => claimAbandonedPart(directory, DIGEST, own)));
    expect(claims.filter(Boolean)).toHaveLength(1);
    expect(readdirSync(directory)).toEqual([takers[claims.indexOf(true)]]);
  });

  it("is taken at once when it was released", async () => {
    await leave(releasedPartName);
    expect(await claimAbandonedPart(directory, DIGEST, await newPartName(DIGEST))).toBe(true);
  });

  it("is not taken from a machine or a container of its own, whose processes cannot be seen", async () => {
    const [algorithmAndHex] = (await newPartName(DIGEST)).split(".");
    await leave(() => `${algorithmAndHex}.elsewhere0000.${deadPid()}.1234`);
    expect(await claimAbandonedPart(directory, DIGEST, await newPartName(DIGEST))).toBe(false);
  });

  it("is not taken for another digest", async () => {
    await leave(releasedPartName);
    expect(await claimAbandonedPart(directory, OTHER, await newPartName(OTHER))).toBe(false);
  });
});
