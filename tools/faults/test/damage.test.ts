import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createRandom } from "@lamella/fuzz";
import { checkImageStore, openImageStore } from "@lamella/image-store";
import type { Finding } from "@lamella/image-store";
import type { Digest } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { prepareBench, requireIntact } from "../src/bench.js";
import type { Bench } from "../src/bench.js";
import { convert, pull } from "../src/operations.js";
import type { Place } from "../src/operations.js";
import { releaseClosed } from "../src/release-closed.js";
import { temporaryFiles } from "../src/stored-files.js";

const seed = Number(process.env["LAMELLA_FAULT_SEED"] ?? 1);
const random = createRandom(seed);
/** Each with another bit of the database. */
const ROUNDS = Number(process.env["LAMELLA_FAULT_CASES"] ?? 2);

let bench: Bench;
let sound: Place;
beforeAll(async () => {
  bench = await prepareBench([]);
  sound = await bench.freshStore();
  await bringAgain(sound);
  {
    await using store = await openImageStore(sound.store);
    await store.gc({ graceMs: 0 });
  }
  await releaseClosed();
}, 60_000);
afterAll(() => bench[Symbol.dispose]());

async function check(directory: string, repair = false): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of checkImageStore(directory, { repair })) findings.push(finding);
  return findings;
}

/** A copy of a store in which everything has a disk, and nothing is garbage. */
async function soundStore(): Promise<Place> {
  const directory = mkdtempSync(join(sound.store, "../copy-"));
  cpSync(sound.store, directory, { recursive: true, preserveTimestamps: true });
  // index.json is another file now
  await (await openImageStore(directory))[Symbol.asyncDispose]();
  await releaseClosed();
  expect(readdirSync(directory)).not.toContain("lamella.db-wal");
  return { ...sound, store: directory };
}

/** What the user does again after a repair. */
async function bringAgain({ store: directory, images }: Place): Promise<void> {
  await using store = await openImageStore(directory);
  await convert(store, images, { image: "a", as: "one", disk: { format: "ext4" } });
  for (const name of ["two", "two-too"]) await pull(store, images, "b", name);
  await convert(store, images, { image: "b", as: "two", disk: { format: "erofs-layers" } });
}

async function requireWhole({ store }: Place): Promise<void> {
  expect(await requireIntact(bench, store)).toEqual(bench.namesAfter());
}

/** Changes one bit, and leaves size and times, to the nanosecond: nobody has written the file. */
function flip(path: string, bit: number): void {
  const { mtimeNs } = statSync(path, { bigint: true });
  const bytes = readFileSync(path);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  writeFileSync(path, bytes);
  const nanoseconds = String(mtimeNs % 1_000_000_000n).padStart(9, "0");
  execFileSync("touch", ["-d", `@${mtimeNs / 1_000_000_000n}.${nanoseconds}`, path]);
}

/** Some file of each kind. */
async function kindsOfFiles({ store: directory }: Place): Promise<Record<string, string>> {
  await using store = await openImageStore(directory);
  const [one, two] = [await store.get("one"), await store.get("two")];
  const blob = (digest: Digest): string => `blobs/${digest.replace(":", "/")}`;
  const archive = `layers/${one.layers[1]!.diffID.slice("sha256:".length)}`;
  const ofOne = one.disks.find(({ format }) => format === "ext4");
  const ofTwo = two.disks.findLast(({ format }) => format === "erofs");
  return {
    "a layer's blob": blob(one.layers[2]!.descriptor.digest),
    "a config": blob(one.configDigest),
    "a manifest": blob(one.manifestDigest),
    "an index": blob(two.digest),
    "an archive's index": `${archive}/idx`,
    "an archive's contents": `${archive}/contents`,
    "an ext4 disk": ofOne!.file,
    "an EROFS disk": ofTwo!.file,
    "index.json": "index.json",
    "oci-layout": "oci-layout",
  };
}

const KINDS = [
  "a layer's blob",
  "a config",
  "a manifest",
  "an index",
  "an archive's index",
  "an archive's contents",
  "an ext4 disk",
  "an EROFS disk",
  "index.json",
  "oci-layout",
] as const;

describe(`a bit that flips at rest (seed ${seed}, G107)`, () => {
  it.each(KINDS)("in %s is found, and repaired by what is asked for next", async (kind) => {
    const place = await soundStore();
    const path = join(place.store, (await kindsOfFiles(place))[kind]!);
    // the newline at the end of a file is of no meaning
    const bits = (statSync(path).size - 1) * 8;
    flip(path, random.below(bits));
    const found = await check(place.store);
    expect(found.length).toBeGreaterThan(0);
    await check(place.store, true);
    expect(await check(place.store)).toEqual([]);
    await bringAgain(place);
    await requireWhole(place);
  });

  it(
    "in the database is found where it matters, and repaired",
    async () => {
      let found = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const place = await soundStore();
        const path = join(place.store, "lamella.db");
        flip(path, random.below(statSync(path).size * 8));
        found += (await check(place.store)).length;
        await check(place.store, true);
        await bringAgain(place);
        await requireWhole(place);
        expect(temporaryFiles(place.store)).toEqual([]);
      }
      console.log(`seed ${seed}: ${found} findings`);
    },
    24 * 3_600_000,
  );
});

describe(`a database (seed ${seed}, G108)`, () => {
  const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
    lost: (path) => rmSync(path),
    "cut to nothing": (path) => truncateSync(path, 0),
    "cut within its header": (path) => truncateSync(path, 1 + random.below(99)),
    "cut at a page": (path) => truncateSync(path, 4096 * (1 + random.below(statSync(path).size / 4096 - 1))),
    "cut anywhere": (path) => truncateSync(path, 100 + random.below(statSync(path).size - 100)),
    "turned into text": (path) => writeFileSync(path, "not a database\n".repeat(100)),
    "turned into noise": (path) => {
      const noise = Buffer.from(Array.from({ length: 8192 }, () => random.below(256)));
      writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, 4096), noise]));
    },
  };

  it.each(Object.keys(DAMAGES))("that was %s is made anew of the files", async (damage) => {
    const place = await soundStore();
    DAMAGES[damage]!(join(place.store, "lamella.db"));
    await check(place.store, true);
    expect(await check(place.store)).toEqual([]);
    // names and images are back without anybody bringing them, disks once they are asked for
    await requireWhole(place);
    await bringAgain(place);
    await requireWhole(place);
  });

  it("that was lost while it was open, its log alone left, is made anew of the files", async () => {
    const place = await soundStore();
    const copy = `${place.store}-copied`;
    {
      await using store = await openImageStore(place.store);
      await store.tag("docker.io/library/five:latest", "one");
      await store.flush();
      cpSync(place.store, copy, { recursive: true });
    }
    expect(readdirSync(copy)).toContain("lamella.db-wal");
    rmSync(join(copy, "lamella.db"));
    await check(copy, true);
    expect(await check(copy)).toEqual([]);
    expect(await requireIntact(bench, copy)).toEqual(bench.namesAfter("tag"));
  });
});
