import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import type { Fixtures, ImageName, RunningRegistry } from "@lamella/fixtures";
import {
  compareTrees,
  containerdDifferences,
  cpioCannotHold,
  describeDifferences,
  e2fsck,
  extractCpio,
  fsckErofs,
  listTree,
  lostAndFound,
  missing,
  mountImage,
  umociDifferences,
  withUnpackedTree,
} from "@lamella/oracles";
import type { IgnoreRule, TreeRecord, Unpacker } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const TOOLS = ["docker-registry", "umoci", "containerd", "e2fsck", "fsck.erofs", "mount", "bsdtar"];
const reason = missing(["root", ...TOOLS]) ?? missingForFixtures();

const IMAGES: readonly { image: ImageName; tag: string }[] = [
  { image: "debian-slim", tag: "latest" },
  { image: "node-app", tag: "latest" },
  { image: "node-app", tag: "zstd" },
  { image: "node-app", tag: "estargz" },
  { image: "node-app", tag: "docker" },
  { image: "node-app", tag: "multi" },
  { image: "big", tag: "latest" },
];

/** The variants hold the tree of `latest` in other packings, but for eStargz, which adds files of its own. */
const treeTag = (tag: string): string => (tag === "estargz" ? tag : "latest");

const BY: readonly [Unpacker, readonly IgnoreRule[]][] = [
  ["umoci", umociDifferences],
  ["containerd", containerdDifferences],
];

describe.skipIf(reason !== undefined)(
  `disks of real images (${reason ?? "against umoci, containerd, fsck and the kernel"})`,
  () => {
    let images: Fixtures;
    let registry: RunningRegistry;
    let work = "";

    beforeAll(async () => {
      images = await fixtures();
      registry = await startFixtureRegistry();
      work = await mkdtemp(join(tmpdir(), "lamella-e2e-"));
    });
    afterAll(async () => {
      await registry?.close();
      await rm(work, { recursive: true, force: true });
    });

    async function disk(image: string, output: string, ...options: string[]): Promise<string> {
      const root = join(work, "root");
      const args = [
        "disk",
        `${registry.address}/${image}`,
        "-o",
        output,
        "--platform",
        "linux/amd64",
        "--root",
        root,
        ...options,
      ];
      const run = await lamella(args);
      expect(run.status, run.stderr).toBe(0);
      return run.stderr;
    }

    async function expectTree(
      image: ImageName,
      tag: string,
      directory: string,
      ignore: readonly IgnoreRule[] = [],
    ): Promise<void> {
      const actual = await collect(listTree(directory));
      for (const [by, rules] of BY) {
        const expected = await unpackedTree(image, treeTag(tag), by);
        const comparison = await compareTrees(expected, actual, { ignore: [...rules, ...ignore] });
        expect(describeDifferences(comparison), `against ${by}`).toBe("");
        expect(comparison.entryCount).toBeGreaterThan(1000);
      }
    }

    /** What the variants and formats of an image are compared with, listed once. */
    const unpackedTrees = new Map<string, Promise<TreeRecord[]>>();

    function unpackedTree(image: ImageName, tag: string, by: Unpacker): Promise<TreeRecord[]> {
      const key = `${image}:${tag} ${by}`;
      const layout = images.layout(image);
      const list = (): Promise<TreeRecord[]> =>
        withUnpackedTree({ layout, tag, by }, (expected) => collect(listTree(expected)));
      const tree = unpackedTrees.get(key) ?? list();
      unpackedTrees.set(key, tree);
      return tree;
    }

    describe.each(IMAGES)("$image:$tag", ({ image, tag }) => {
      it("is whole as ext4, by e2fsck and the kernel", async () => {
        const output = join(work, "disk.ext4");
        await disk(`${image}:${tag}`, output);
        expect(await e2fsck(output)).toMatchObject({ clean: true });
        await mountImage({ image: output, format: "ext4" }, (tree) => expectTree(image, tag, tree, [lostAndFound]));
      });

      it("is whole as EROFS, by fsck.erofs and the kernel", async () => {
        const output = join(work, "disk.erofs");
        await disk(`${image}:${tag}`, output);
        expect(await fsckErofs(output)).toMatchObject({ clean: true });
        await mountImage({ image: output, format: "erofs" }, (tree) => expectTree(image, tag, tree));
      });

      it("is whole as cpio, less what that cannot hold, which is warned of", async () => {
        const output = join(work, "disk.cpio");
        const warnings = await disk(`${image}:${tag}`, output);
        const target = await mkdtemp(join(work, "extracted-"));
        await extractCpio(output, target);
        await expectTree(image, tag, target, [cpioCannotHold]);
        await rm(target, { recursive: true });
        if (image === "node-app")
          expect(warnings).toMatch(/cannot hold xattrs: .*odd\/cap[^]*1970 to 2106: .*odd\/t1960/);
      });
    });

    it.each(["ext4", "erofs", "cpio"])("gives the same bytes for the same image, twice, in %s", async (format) => {
      const [first, second] = [join(work, `first.${format}`), join(work, `second.${format}`)];
      await disk("node-app:latest", first);
      // other bytes on the wire and an empty store: only the tree is the same
      await disk("node-app:zstd", second, "--root", join(work, "other-root"));
      expect(await sha256(second)).toBe(await sha256(first));
    });

    it("keeps memory under 300 MB for big and unpacks nothing", async () => {
      const temporary = await mkdtemp(join(work, "tmp-"));
      const root = join(work, "big-root");
      const args = ["disk", `${registry.address}/big:latest`, "-o", join(work, "big.ext4"), "--root", root];
      const run = await lamella(args, { env: { TMPDIR: temporary } });
      expect(run.status, run.stderr).toBe(0);
      console.log(`peak memory for big: ${(run.peakBytes / 1e6).toFixed(0)} MB`);
      expect(run.peakBytes).toBeLessThan(300e6);
      expect(await readdir(temporary)).toEqual([]);
      const stored = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
      expect(stored.length).toBeLessThan(100);
    });
  },
);

async function collect(records: AsyncIterable<TreeRecord>): Promise<TreeRecord[]> {
  const all: TreeRecord[] = [];
  for await (const record of records) all.push(record);
  return all;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}
