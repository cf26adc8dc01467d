import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { missingForFixtures } from "@lamella/fixtures";
import { createRandom, encodeTar, type GeneratedTar, generatedTar, mutateTar, readTar } from "@lamella/fuzz";
import { type GoTarListing, type GoTarRecord, listTarsWithGo, listTarWithGnu, missing } from "@lamella/oracles";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { compareWithGnu, contentsHash, GNU_ENDINGS, GNU_REASONS, hasPackedRanges } from "./gnu-comparison.js";
import { fixtureLayers } from "./fixture-layers.js";
import { compareWithGo, everyFileIsOne, REASONS } from "./tar-comparison.js";

/** With which every reason is seen to be needed. */
const USUAL_SEED = 20_240_917;
const COUNT = Number(process.env["LAMELLA_DIFFERENTIAL_CASES"] ?? 2000);
const SEED = Number(process.env["LAMELLA_DIFFERENTIAL_SEED"] ?? USUAL_SEED);
/** Two processes a tar: a part of them is enough where time counts. */
const GNU_COUNT = Number(process.env["LAMELLA_DIFFERENTIAL_GNU_CASES"] ?? 600);
const reason = missing(["go", "tar"]);

interface Case {
  readonly generated: GeneratedTar;
  readonly tar: Buffer;
  readonly path: string;
}

describe.skipIf(reason !== undefined)(`generated tars (${reason ?? `${COUNT} of seed ${SEED}`})`, () => {
  let work = "";
  let cases: readonly Case[] = [];
  let listings: readonly GoTarListing[] = [];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-differential-"));
    cases = fc
      .sample(generatedTar, { numRuns: COUNT, seed: SEED })
      .map((generated, index) => ({ generated, tar: encodeTar(generated), path: join(work, `${index}.tar`) }));
    for (const { tar, path } of cases) await writeFile(path, tar);
    listings = await listTarsWithGo(cases.map(({ path }) => path));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it("are read as by Go's archive/tar, but for the reasons that are written down", () => {
    const used = new Set<string>();
    const faults: string[] = [];
    let taken = 0;
    for (const [index, { tar }] of cases.entries()) {
      const ours = readTar([tar]);
      const { differences, reasons } = compareWithGo(ours, listings[index] ?? { entries: [] }, tar);
      faults.push(...differences.map((difference) => `${index}: ${difference}`));
      for (const name of reasons) used.add(name);
      if (ours.refusal === undefined) taken++;
    }
    expect(faults.slice(0, 20)).toEqual([]);
    // Or the comparison would say little.
    expect(taken).toBeGreaterThan(COUNT / 2);
    if (COUNT >= 2000 && SEED === USUAL_SEED) expect(used).toEqual(new Set(REASONS.map(({ name }) => name)));
  });

  it("are read as by GNU tar, but for the reasons that are written down", async () => {
    const used = new Set<string>();
    const faults: string[] = [];
    let contentsCompared = 0;
    let sparseCompared = 0;
    let packedDiffer = 0;
    for (const [index, { generated, tar, path }] of cases.entries()) {
      const [ours, go] = [readTar([tar], { keepContents: true }), listings[index]];
      if (index >= GNU_COUNT || ours.refusal !== undefined || go?.error !== undefined || go === undefined) continue;
      const gnu = await listTarWithGnu(path);
      const { differences, reasons } = compareWithGnu(generated, go, gnu);
      faults.push(...differences.map((difference) => `${index}: ${difference}`));
      for (const name of reasons) used.add(name);
      if (gnu.complaint !== "" || reasons.length > 0 || !everyFileIsOne(ours, go)) continue;
      contentsCompared++;
      const packed = generated.entries.some(hasPackedRanges);
      if (packed) packedDiffer += Number(contentsHash(ours) !== gnu.sha256);
      else if (contentsHash(ours) !== gnu.sha256) faults.push(`${index}: the contents differ`);
      else if (generated.entries.some(({ sparse }) => sparse !== undefined)) sparseCompared++;
    }
    expect(faults.slice(0, 20)).toEqual([]);
    expect(contentsCompared).toBeGreaterThan(GNU_COUNT / 10);
    expect(sparseCompared).toBeGreaterThan(0);
    expect(packedDiffer).toBeGreaterThan(0);
    if (GNU_COUNT >= 600 && SEED === USUAL_SEED) {
      const usual = [...GNU_REASONS.filter(({ isSeldom }) => !isSeldom), ...GNU_ENDINGS].map(({ name }) => name);
      expect([...used]).toEqual(expect.arrayContaining(usual));
    }
  });
});

describe.skipIf(reason !== undefined)(`tars with random damage (${reason ?? `${COUNT} of seed ${SEED}`})`, () => {
  it("are taken only if Go's archive/tar takes them, and then read alike", async () => {
    const work = await mkdtemp(join(tmpdir(), "lamella-differential-"));
    try {
      const random = createRandom(SEED);
      const whole = fc.sample(generatedTar, { numRuns: COUNT, seed: SEED + 1 }).map(encodeTar);
      const tars = whole.map((tar) => mutateTar(tar, random, random.pick(whole)));
      const paths = tars.map((_, index) => join(work, `${index}.tar`));
      for (const [index, path] of paths.entries()) await writeFile(path, tars[index] ?? "");
      const listings = await listTarsWithGo(paths);
      const faults: string[] = [];
      let taken = 0;
      for (const [index, tar] of tars.entries()) {
        const ours = readTar([tar]);
        const { differences } = compareWithGo(ours, listings[index] ?? { entries: [] }, tar);
        faults.push(...differences.map((difference) => `${index}: ${difference}`));
        if (ours.refusal === undefined) taken++;
      }
      expect(faults.slice(0, 20)).toEqual([]);
      expect(taken).toBeGreaterThan(COUNT / 20);
      expect(taken).toBeLessThan(COUNT / 2);
    } finally {
      await rm(work, { recursive: true });
    }
  });
});

const withoutFixtures = reason ?? missingForFixtures();

describe.skipIf(withoutFixtures !== undefined)(`layers of real images (${withoutFixtures ?? "all fixtures"})`, () => {
  it("are read as by Go's archive/tar, every entry and its content", async () => {
    const work = await mkdtemp(join(tmpdir(), "lamella-differential-"));
    try {
      const path = join(work, "layer.tar");
      let entryCount = 0;
      for await (const reading of fixtureLayers(path)) {
        const [listing = { entries: [] }] = await listTarsWithGo([path]);
        expect(compareWithGo(reading, listing, new Uint8Array()).differences).toEqual([]);
        entryCount += reading.entries.length;
      }
      expect(entryCount).toBeGreaterThan(70_000);
    } finally {
      await rm(work, { recursive: true });
    }
  });
});

describe("the comparison with Go", () => {
  const generated = fc.sample(generatedTar, { numRuns: 50, seed: SEED });
  const tar =
    generated
      .map(encodeTar)
      .find((bytes) => readTar([bytes]).entries.some(({ entry }) => entry.kind === "file" && entry.size > 0)) ??
    Buffer.alloc(0);

  it.skipIf(reason !== undefined).each([
    ["a byte of content", (record: GoTarRecord) => ({ ...record, sha256: "0".repeat(64) })],
    ["a nanosecond", (record: GoTarRecord) => ({ ...record, nanoseconds: record.nanoseconds + 1 })],
    ["an attribute", (record: GoTarRecord) => ({ ...record, xattrs: { ...record.xattrs, "user.new": "00" } })],
    ["a name", (record: GoTarRecord) => ({ ...record, clean: `${record.clean}x` })],
  ])("sees another %s", async (_, change) => {
    const work = await mkdtemp(join(tmpdir(), "lamella-differential-"));
    try {
      const path = join(work, "one.tar");
      await writeFile(path, tar);
      const [listing = { entries: [] }] = await listTarsWithGo([path]);
      expect(compareWithGo(readTar([tar]), listing, tar).differences).toEqual([]);
      const changed = { ...listing, entries: listing.entries.map(change) };
      expect(compareWithGo(readTar([tar]), changed, tar).differences).not.toEqual([]);
    } finally {
      await rm(work, { recursive: true });
    }
  });
});
