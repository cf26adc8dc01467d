import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fixtures } from "@lamella/fixtures";
import { layerStack } from "@lamella/fuzz";
import { mergeLayers, writeTar } from "@lamella/layer-format";
import type { FileTree, Layer } from "@lamella/layer-format";
import { decompress } from "@lamella/layer-format/node";
import { memoryLayer, memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import {
  compareTrees,
  describeDifferences,
  missing,
  mountLayers,
  runCommand,
  unpackWithContainerd,
  unpackWithUmoci,
  withContainerd,
  withMount,
} from "@lamella/oracles";
import type { Comparison, Containerd, Difference, IgnoreRule } from "@lamella/oracles";
import { chainID, diffTrees } from "@lamella/snapshot";
import { packDiff } from "@lamella/snapshot/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { layerTars } from "./fixture-layers.js";
import { layerOf, mergeTars, treeRecords, writeLayout } from "./layer-stack-image.js";

const reason = missing(["root", "umoci", "containerd", "ctr", "mount", "python3", "tar"]);

/** What generated trees have too rarely, or in no layer that is made to be read by everybody. */
const BEFORE: MemoryTreeSpec = [
  { path: "", kind: "directory", mtime: 1e9 },
  ...below("made", [
    { path: "linked/a", content: "linked" },
    { path: "linked/b", hardlinkTo: "linked/a" },
    { path: "apart/a", content: "same" },
    { path: "apart/b", hardlinkTo: "apart/a" },
    { path: "cleared/a" },
    { path: "cleared/b/c" },
    { path: "cleared/s/x" },
    { path: "cleared/s/y" },
    { path: "file-to-directory", content: "x" },
    { path: "directory-to-link/a/b" },
    { path: "same-size", content: "before", mtime: 1e9 },
    { path: "untouched/deep/file", content: "stays" },
    { path: "n".repeat(200), content: "long" },
    { path: "bytes-\xff\n\\", content: "odd" },
    { path: "gone/with/everything" },
    { path: "symlink", linkTarget: "untouched" },
  ]),
];
const AFTER: MemoryTreeSpec = [
  { path: "", kind: "directory", mtime: 1e9 },
  ...below("made", [
    { path: "linked/a", content: "linked" },
    { path: "linked/b", hardlinkTo: "linked/a" },
    { path: "linked/new", hardlinkTo: "linked/a" },
    { path: "apart/a", content: "same" },
    { path: "apart/b", content: "same" },
    { path: "cleared/new", content: "new" },
    { path: "cleared/s/new" },
    { path: "file-to-directory/x" },
    { path: "directory-to-link", linkTarget: "linked" },
    { path: "same-size", content: "after.", mtime: 1e9 },
    { path: "untouched/deep/file", content: "stays" },
    { path: "new-\xfe", content: "odd", xattrs: { "user.\xe4": "\n=", "trusted.x": new Uint8Array([0, 255]) } },
    { path: "long/" + "m".repeat(200), content: "long", mode: 0o4755, uid: 3_000_000, gid: 7 },
    { path: "symlink", linkTarget: "t".repeat(300), uid: 5 },
    { path: "device", kind: "block", device: { major: 259, minor: 200_000 } },
    { path: "pipe", kind: "fifo", mode: 0o600 },
    { path: "time", mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 } },
    {
      path: "capable",
      xattrs: { "security.capability": Buffer.from("0100000200040000000000000000000000000000", "hex") },
    },
  ]),
];

/** Two generated trees, and the made ones, of which the second is the first one after more layers. */
async function treePairOf(seed: number): Promise<readonly [FileTree, FileTree]> {
  const tars = layerStack({ seed, layers: 12, stacks: 30, changes: 12 }).map(layerOf);
  const made = (spec: MemoryTreeSpec): ReturnType<typeof memoryLayer> => memoryLayer(spec);
  const before = await mergeLayers([...tars.slice(0, 6), made(BEFORE)]);
  return [before, await mergeLayers([...tars, made(AFTER)])];
}

describe.skipIf(reason !== undefined).each([20_260_101, 20_260_102])(
  `a diff of generated trees (${reason ?? "seed %i"})`,
  (seed) => {
    let work = "";
    let lower: FileTree;
    let upper: FileTree;
    let base: Buffer;
    let diff: Buffer;
    const layout = (): string => join(work, "layout");

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-diff-"));
      [lower, upper] = await treePairOf(seed);
      base = await bytesOf(writeTar(diffTrees(memoryTree([]), lower)));
      diff = await bytesOf(writeTar(diffTrees(lower, upper)));
      await writeLayout(layout(), [base, diff]);
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("is applied by umoci to the tree that was meant, and seen to be needed", async () => {
      const target = join(work, "umoci");
      await unpackWithUmoci({ layout: layout(), tag: "latest", target });
      const comparison = await compareTrees(target, treeRecords(upper));
      expectSame(comparison);
      expect((await compareTrees(target, treeRecords(lower))).differenceCount).toBeGreaterThan(100);
    });

    it("is applied by containerd to the tree that was meant", async () => {
      const target = join(work, "containerd");
      const count = await unpackWithContainerd({ layout: layout(), tag: "latest", target });
      await mountLayers({ directory: target, count }, async (mountPoint) => {
        const ignore = [hiddenLinks, rootTime, droppedTrusted];
        expectSame(await compareTrees(mountPoint, treeRecords(upper), { ignore }));
      });
    });

    it("of containerd is applied by us to the tree that was meant", async () => {
      const tar = await diffByContainerd({ work, base, upper });
      const ignore = [lostXattrs, lostFractions, lostLinks];
      expectSame(await compareTrees(treeRecords(upper), treeRecords(await mergeTars([base, tar])), { ignore }));
    });

    it("of umoci is applied by us to the tree that was meant", async () => {
      const made = layerOf(await diffByUmoci({ work, base, upper }));
      const entries = made.entries.filter(({ kind, path }) => kind !== "whiteout" || !isBelowFile(made, path));
      // umoci writes whiteouts below what has taken a directory's place. containerd refuses such a layer, as we do.
      expect(entries.length).toBeLessThan(made.entries.length);
      await expect(mergeLayers([layerOf(base), made])).rejects.toThrow("is not a directory");
      const merged = await mergeLayers([layerOf(base), { ...made, entries }]);
      expectSame(await compareTrees(treeRecords(upper), treeRecords(merged), { ignore: [lostFractions] }));
    });
  },
);

describe.skipIf(reason !== undefined)(
  `a diff of a real image after ten changed files (${reason ?? "debian-slim"})`,
  () => {
    let work = "";
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-diff-"));
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("is small, and makes umoci and containerd unpack what was meant", async () => {
      const images = await fixtures(["debian-slim"]);
      const tars = await layerTars(images.layout("debian-slim"), work);
      const layers = await Promise.all(tars.map(async (tar) => readFile(tar)));
      const lower = await mergeTars(layers);
      const changes = memoryLayer([
        { path: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n", mtime: 1e9 },
        { path: "etc/hostname", kind: "whiteout" },
        ...Array.from({ length: 9 }, (_, index) => ({
          path: `usr/share/doc/new-${index}`,
          content: `${index}`,
          mtime: 1e9,
        })),
      ]);
      const upper = await mergeLayers([...layers.map(layerOf), changes]);
      const chunks: Uint8Array[] = [];
      const packed = await packDiff(
        lower,
        upper,
        { write: async (bytes) => chunks.push(bytes) },
        { compression: "none" },
      );
      expect(packed.entryCount).toBeLessThan(20);
      const layout = join(work, "layout");
      await writeLayout(layout, [...layers, Buffer.concat(chunks)]);
      const target = join(work, "umoci");
      await unpackWithUmoci({ layout, tag: "latest", target });
      expectSame(await compareTrees(target, treeRecords(upper)));
      const directory = join(work, "containerd");
      const count = await unpackWithContainerd({ layout, tag: "latest", target: directory });
      await mountLayers({ directory, count }, async (mountPoint) => {
        expectSame(await compareTrees(mountPoint, treeRecords(upper), { ignore: [rootTime] }));
      });
    });
  },
);

interface DiffTask {
  readonly work: string;
  readonly base: Buffer;
  readonly upper: FileTree;
}

/** containerd unpacks the base, all of which is replaced by the upper tree, and says what has changed. */
async function diffByContainerd({ work, base, upper }: DiffTask): Promise<Buffer> {
  const root = join(work, "containerd-root");
  const layout = join(work, "base");
  await writeLayout(layout, [base]);
  const archive = join(work, "base.tar");
  await runCommand("tar", ["-C", layout, "-cf", archive, "."], { accept: [0] });
  const whole = await treeTar(work, upper);
  const parent = chainID([layerOf(base).diffID]) ?? "";
  return withContainerd({ root }, async ({ ctr }) => {
    await ctr(["images", "import", "--snapshotter", "overlayfs", "--base-name", "oracle.invalid/base", archive]);
    const command = await ctr([
      "snapshots",
      "--snapshotter",
      "overlayfs",
      "prepare",
      "--target",
      "/target",
      "active",
      parent,
    ]);
    const [, options = ""] = /-o (\S+)/.exec(command.output) ?? [];
    expect(options).toContain("upperdir=");
    await withMount({ parameters: ["-t", "overlay", "overlay", "-o", options] }, (target) => fill(target, whole));
    const before = await blobsOf({ ctr });
    await ctr(["snapshots", "--snapshotter", "overlayfs", "diff", "--keep", "active"]);
    const blob = (await blobsOf({ ctr })).find((digest) => !before.includes(digest));
    const path = join(root, "io.containerd.content.v1.content", "blobs", (blob ?? "").replace(":", "/"));
    return bytesOf(decompress(createReadStream(path)));
  });
}

async function blobsOf({ ctr }: Pick<Containerd, "ctr">): Promise<string[]> {
  return (await ctr(["content", "ls", "--quiet"])).output.split("\n").filter((line) => line !== "");
}

/** umoci unpacks the base into a bundle, all of which is replaced by the upper tree, and makes a layer of it. */
async function diffByUmoci({ work, base, upper }: DiffTask): Promise<Buffer> {
  const layout = join(work, "umoci-layout");
  await writeLayout(layout, [base]);
  const bundle = join(work, "bundle");
  await runCommand("umoci", ["unpack", "--image", `${layout}:latest`, bundle], { accept: [0] });
  await fill(join(bundle, "rootfs"), await treeTar(work, upper));
  await runCommand("umoci", ["repack", "--image", `${layout}:changed`, bundle], { accept: [0] });
  const [, changed] = await layerTarsOf(layout, "changed");
  if (changed === undefined) throw new Error("umoci made no layer");
  return bytesOf(decompress(createReadStream(changed)));
}

async function layerTarsOf(layout: string, tag: string): Promise<string[]> {
  const { manifests } = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const named = manifests.find(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag);
  const blob = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
  const { layers } = JSON.parse(await readFile(blob(named?.digest ?? ""), "utf8")) as { layers: { digest: string }[] };
  return layers.map(({ digest }) => blob(digest));
}

async function treeTar(work: string, tree: FileTree): Promise<string> {
  const path = join(work, "whole.tar");
  await writeFile(path, await bytesOf(writeTar(diffTrees(memoryTree([]), tree))));
  return path;
}

/** Makes a directory show the tree of a tar, and nothing that was there. */
async function fill(directory: string, tar: string): Promise<void> {
  for (const name of await readdir(directory, { encoding: "buffer" })) {
    await rm(Buffer.concat([Buffer.from(`${directory}/`), name]), { recursive: true });
  }
  await mkdir(directory, { recursive: true });
  const parameters = [
    "-C",
    directory,
    "-xpf",
    tar,
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--warning=no-timestamp",
  ];
  await runCommand("tar", parameters, { accept: [0] });
}

function expectSame(comparison: Comparison): void {
  expect(describeDifferences(comparison)).toBe("");
  expect(comparison.entryCount).toBeGreaterThan(300);
  expect(comparison.ignoredCounts.every((count) => count > 0)).toBe(true);
}

/** Whether a layer has something else than a directory above a path. */
function isBelowFile({ entries }: Layer, path: string): boolean {
  return entries.some(({ kind, path: above }) => kind !== "directory" && path.startsWith(`${above}/`));
}

/** overlayfs gives the link count of the inode below, names included that a higher layer hides. */
const hiddenLinks: IgnoreRule = ({ field, expected, actual }: Difference) =>
  field === "links" && Number(expected) > Number(actual);

/** containerd writes no xattr but a file's capabilities. */
const lostXattrs: IgnoreRule = ({ field, actual }: Difference) =>
  field.startsWith("xattr:") && field !== "xattr:security.capability" && actual === undefined;

/** containerd and umoci write whole seconds. */
const lostFractions: IgnoreRule = ({ field, expected = "", actual }: Difference) =>
  field === "mtime" && BigInt(expected) - (BigInt(expected) % 1_000_000_000n) === BigInt(actual ?? 0);

/** containerd sets no `trusted.` xattr. */
const droppedTrusted: IgnoreRule = ({ field, expected }: Difference) =>
  field.startsWith("xattr:trusted.") && expected === undefined;

/** containerd does not see that names of one file have become two. */
const lostLinks: IgnoreRule = ({ path, field }: Difference) =>
  path.startsWith("made/apart/") && (field === "links" || field === "linkOf");

/** containerd leaves the root at the time of unpacking, and real layers seldom say one. */
const rootTime: IgnoreRule = ({ path, field }: Difference) => path === "" && field === "mtime";

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of chunks) copies.push(Buffer.from(chunk));
  return Buffer.concat(copies);
}

function below(directory: string, spec: MemoryTreeSpec): MemoryTreeSpec {
  return spec.map((entry) =>
    "hardlinkTo" in entry
      ? { path: `${directory}/${entry.path}`, hardlinkTo: `${directory}/${entry.hardlinkTo}` }
      : { mtime: 1_234_567_890, ...entry, path: `${directory}/${entry.path}` },
  );
}
