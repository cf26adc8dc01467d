import { createHash } from "node:crypto";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDisk, planDisk, writeDisk } from "@lamella/disk-export";
import type { PlanDiskOptions } from "@lamella/disk-export";
import type { FileTree } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import {
  compareTrees,
  cpioCannotHold,
  describeDifferences,
  e2fsck,
  extractCpio,
  fsckErofs,
  lostAndFound,
  missing,
  mountImage,
  newerErofs,
  runCommand,
} from "@lamella/oracles";
import type { Difference, FsckReport, IgnoreRule, NewerErofs, TreeListing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { diskTree } from "./disk-tree.js";
import { treeRecords } from "./layer-stack-image.js";

const TREES = Number(process.env["LAMELLA_DISK_TREES"] ?? 100);
const SEED = Number(process.env["LAMELLA_DISK_SEED"] ?? 1);
/** While one disk is planned in this process, another is looked at by others. */
const AT_ONCE = 2;
const MIB = 2 ** 20;
const HOUR_MS = 3_600_000;
const CONTENT = "what a file holds that is to be found again";
const OWNER = Buffer.from("12345678", "hex");
const EMPTY_SHA256 = createHash("sha256").digest("hex");

const reason = missing(["root", "e2fsck", "fsck.erofs", "debootstrap", "mount", "python3", "bsdtar"]);

type Options = Exclude<PlanDiskOptions, { format: "tar" }>;

interface Target {
  readonly name: string;
  options(seed: number): Options;
}

const EXT4_SIZES = [{}, { freeBytes: MIB }, { freeBytes: 200 * MIB }, { sizeBytes: 3000 * MIB + 4096 }];

const targets: readonly Target[] = [
  { name: "ext4", options: (seed) => ({ format: "ext4", ...EXT4_SIZES[seed % EXT4_SIZES.length] }) },
  { name: "EROFS", options: () => ({ format: "erofs" }) },
  { name: "EROFS with LZ4", options: () => ({ format: "erofs", compression: "lz4", threads: 1 }) },
  { name: "EROFS with deflate", options: () => ({ format: "erofs", compression: "deflate", threads: 1 }) },
  { name: "cpio", options: () => ({ format: "cpio" }) },
];

describe.skipIf(reason !== undefined)(
  `disks of ${TREES} random trees (${reason ?? `the first is number ${SEED}`})`,
  () => {
    let work = "";
    let newer: NewerErofs;

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-disk-trees-"));
      newer = await newerErofs();
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it.each(targets)(
      "hold in $name what the trees hold, by fsck and the kernel",
      async (target) => {
        let entries = 0;
        await eachAtOnce(numbers(SEED, TREES), async (seed) => {
          const options = target.options(seed);
          const spec = diskTree(seed).map(within[options.format]);
          const image = join(work, `${target.name} ${seed}`);
          try {
            await using tree = memoryTree(spec);
            await write(tree, options, image);
            entries += await judge(tree, options, image);
          } catch (error) {
            throw new Error(`tree ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
              cause: error,
            });
          } finally {
            await rm(image, { force: true });
          }
        });
        expect(entries).toBeGreaterThan(20 * TREES);
      },
      HOUR_MS,
    );

    it.each<[Options["format"], string, (bytes: Buffer) => number]>([
      ["ext4", "an owner", (disk) => ext4Inode(disk, 12) + 2],
      ["ext4", "a file's content", (disk) => disk.indexOf(CONTENT) + 3],
      ["erofs", "the superblock", () => 1024 + 0x10],
      ["erofs", "an owner", (disk) => disk.indexOf(OWNER) + 1],
      ["erofs", "a file's content", (disk) => disk.indexOf(CONTENT) + 3],
      ["cpio", "a file's content", (disk) => disk.indexOf(CONTENT) + 3],
      ["cpio", "a name", (disk) => disk.indexOf("file name") + 3],
    ])("are seen to be wrong where a bit is flipped: %s, %s", async (format, _, locate) => {
      const image = join(work, "broken");
      await using tree = memoryTree([{ path: "file name", content: CONTENT, uid: OWNER.readUInt32LE() }]);
      const options = { format };
      await write(tree, options, image);
      expect(await judge(tree, options, image)).toBe(2);
      const bytes = await readFile(image);
      const at = locate(bytes);
      expect(at).toBeGreaterThan(100);
      bytes[at]! ^= 1;
      await writeFile(image, bytes);
      await expect(judge(tree, options, image)).rejects.toThrow();
    });

    /** Throws what is wrong; gives how many entries are right. */
    async function judge(tree: FileTree, options: Options, image: string): Promise<number> {
      const { format } = options;
      if (format === "ext4") {
        await expectSameRead(tree, image);
        expectClean(await e2fsck(image));
        return mountImage({ image, format }, (directory) => expectSame(tree, directory, [lostAndFound]));
      }
      if (format === "erofs") {
        await expectSameRead(tree, image);
        // 1.5 knows no deflate
        if (options.compression !== "deflate") expectClean(await fsckErofs(image));
        expectClean(await fsckErofs(image, { tools: newer }));
        return mountImage({ image, format }, (directory) => expectSame(tree, directory));
      }
      const directory = `${image} extracted`;
      await mkdir(directory);
      try {
        await extractCpio(image, directory);
        return await expectSame(tree, directory, [cpioCannotHold, bsdtarMakesNoSockets]);
      } finally {
        // Node cannot remove what lies as deep as this
        await runCommand("rm", ["-r", "--", directory], { accept: [0] });
      }
    }
  },
);

/** By our own reader. */
async function expectSameRead(tree: FileTree, image: string): Promise<void> {
  await using read = await openDisk(image);
  await expectSame(tree, treeRecords(read));
}

/** What of the trees a format or its judge has no place for is changed before. */
const within = { ext4: withoutDoubtedTime, erofs: withinErofs, cpio: withinBsdtar };

async function write(tree: FileTree, options: PlanDiskOptions, image: string): Promise<void> {
  await using plan = await planDisk(tree, options);
  await writeDisk(plan, image);
}

/** Where an inode of the first group is, by the group's descriptor. */
function ext4Inode(disk: Buffer, number: number): number {
  return disk.readUInt32LE(4096 + 8) * 4096 + (number - 1) * 256;
}

function expectClean({ clean, output }: FsckReport): void {
  expect(clean, output).toBe(true);
}

async function expectSame(tree: FileTree, actual: TreeListing, ignore: readonly IgnoreRule[] = []): Promise<number> {
  const comparison = await compareTrees(treeRecords(tree), actual, { ignore, limit: 5 });
  expect(describeDifferences(comparison)).toBe("");
  expect(comparison.entryCount).toBe(tree.entryCount);
  return comparison.entryCount;
}

/** e2fsck 1.47 takes times from 2310 to 2378 for ones before 1970 that an old kernel wrote wrongly: there is no telling. */
function withoutDoubtedTime(described: MemoryTreeSpec[number]): MemoryTreeSpec[number] {
  if (!("mtime" in described) || typeof described.mtime !== "object") return described;
  const { seconds, nanoseconds } = described.mtime;
  const doubted = seconds >= 5 * 2 ** 31 && seconds < 6 * 2 ** 31;
  return doubted ? { ...described, mtime: { seconds: seconds - 2 ** 31, nanoseconds } } : described;
}

/** EROFS has 16 bits for how long a value is: that is one byte less than what the kernel takes. */
function withinErofs(described: MemoryTreeSpec[number]): MemoryTreeSpec[number] {
  if (!("xattrs" in described) || described.xattrs === undefined) return described;
  const cut = Object.entries(described.xattrs).map(([name, value]) => [name, value.slice(0, 0xffff)]);
  return { ...described, xattrs: Object.fromEntries(cut) as Record<string, Uint8Array> };
}

/** bsdtar takes `\\` and `c:` off the start of a path, as it does `/`. */
function withinBsdtar(described: MemoryTreeSpec[number]): MemoryTreeSpec[number] {
  const renamed = (path: string): string => path.replace(/^(?:\\|[A-Za-z](?=:))/, "_");
  const path = renamed(described.path);
  return "hardlinkTo" in described ? { path, hardlinkTo: renamed(described.hardlinkTo) } : { ...described, path };
}

/** The archive says what it is: of a socket bsdtar makes an empty file. */
function bsdtarMakesNoSockets({ field, expected, actual }: Difference): boolean {
  return (
    (field === "type" && expected === "socket" && actual === "file") ||
    (field === "sha256" && expected === undefined && actual === EMPTY_SHA256)
  );
}

function* numbers(first: number, count: number): Generator<number> {
  for (let at = 0; at < count; at++) yield first + at;
}

/** Runs `use` for each number, a few at a time; the first failure stops all. */
async function eachAtOnce(these: Generator<number>, use: (it: number) => Promise<void>): Promise<void> {
  const run = async (): Promise<void> => {
    for (const it of these) await use(it);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
}
