import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, rmdir, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type DiskPlan,
  type ErofsLayerPlan,
  type ErofsReferenceOptions,
  planErofsIndex,
  planErofsLayers,
  planErofsMerge,
  writeDisk,
} from "@lamella/disk-export";
import { layerStack } from "@lamella/fuzz";
import { type FileTree, mergeLayers } from "@lamella/layer-format";
import { openTarLayer, type TarLayer } from "@lamella/layer-format/node";
import {
  compareTrees,
  type Comparison,
  describeDifferences,
  fsckErofs,
  missing,
  mountImage,
  newerErofs,
} from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { treeRecords } from "./layer-stack-image.js";

const reason = missing(["root", "mount", "losetup", "tar", "python3", "fsck.erofs"]);

describe.skipIf(reason !== undefined)(`disks that refer to others (${reason ?? "mounted by the kernel"})`, () => {
  let work = "";
  let tars: string[] = [];
  let layers: TarLayer[] = [];
  let tree: FileTree;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-erofs-references-"));
    tars = [await makeSizes(work)];
    for (const tar of layerStack({ seed: 6, layers: 8, stacks: 30, changes: 12 })) {
      const path = join(work, `${tars.length}.tar`);
      await writeFile(path, tar);
      tars.push(path);
    }
    layers = await Promise.all(tars.map((path) => openTarLayer(path)));
    tree = await mergeLayers(layers);
  });
  afterAll(async () => {
    await tree[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  describe.each([
    ["an index over tars", planIndex],
    ["a merge of layers' disks", planMerge],
  ] as const)("%s", (_, plan) => {
    it("shows every file with its devices on loop devices", async () => {
      const { disk, devices } = await plan({});
      const comparison = await withLoops(devices, (loops) => compare(disk, loops));
      expect(describeDifferences(comparison)).toBe("");
      expect(comparison.entryCount).toBeGreaterThan(300);
    });

    it.skipIf(!hasFileBackedMounts())("shows every file with its devices as files", async () => {
      const { disk, devices } = await plan({});
      const comparison = await withFileMount({ disk, devices }, (mountPoint) =>
        compareTrees(treeRecords(tree), mountPoint),
      );
      expect(describeDifferences(comparison)).toBe("");
    });

    it("shows every file as one disk with its devices", async () => {
      const { disk } = await plan({ concatenated: true });
      expect(describeDifferences(await compare(disk, []))).toBe("");
    });

    it("is seen to differ with a device of other bytes", async () => {
      const { disk, devices } = await plan({});
      const wrong = join(work, "wrong");
      await writeFile(wrong, (await readFile(devices[0]!)).fill(0x55));
      const comparison = await withLoops([wrong, ...devices.slice(1)], (loops) => compare(disk, loops));
      expect(comparison.differenceCount).toBeGreaterThan(5);
      expect(comparison.differences.every(({ field }) => field === "sha256")).toBe(true);
    });
  });

  it("fsck.erofs finds the disk of a merge clean", async () => {
    const { disk, devices } = await planMerge({});
    const { clean, output } = await fsckErofs(disk, { devices });
    expect(clean, output).toBe(true);
  });

  it("a newer fsck.erofs finds an index clean, and damage to it", async () => {
    const { disk, devices } = await planIndex({});
    const tools = await newerErofs();
    const { clean, output } = await fsckErofs(disk, { devices, tools });
    expect(clean, output).toBe(true);
    const bytes = await readFile(disk);
    // The layout of the root's data.
    bytes.writeUInt8(bytes.readUInt8(4096) ^ 0xc, 4096);
    await writeFile(disk, bytes);
    expect(await fsckErofs(disk, { devices, tools })).toMatchObject({ clean: false });
  });

  async function planIndex(options: ErofsReferenceOptions): Promise<{ disk: string; devices: string[] }> {
    return { disk: await write(await planErofsIndex(layers, options)), devices: tars };
  }

  async function planMerge(options: ErofsReferenceOptions): Promise<{ disk: string; devices: string[] }> {
    const disks: ErofsLayerPlan[] = [];
    for await (const disk of planErofsLayers(layers, { wholeBlocks: true })) disks.push(disk);
    const devices: string[] = [];
    for (const disk of disks) devices.push(await write(disk));
    return { disk: await write(await planErofsMerge(layers, disks, options)), devices };
  }

  async function write(plan: DiskPlan): Promise<string> {
    const path = join(await mkdtemp(join(work, "disk-")), "disk.erofs");
    await writeDisk(plan, path);
    return path;
  }

  function compare(disk: string, devices: readonly string[]): Promise<Comparison> {
    const options = devices.map((device) => `device=${device}`);
    return mountImage({ image: disk, format: "erofs", options }, (mountPoint) =>
      compareTrees(treeRecords(tree), mountPoint),
    );
  }
});

/** Files of sizes around blocks, one sparse. */
async function makeSizes(work: string): Promise<string> {
  const directory = join(work, "sizes");
  await mkdir(directory);
  for (const size of [0, 1, 511, 512, 513, 4095, 4096, 4097, 100_000, (3 << 20) + 7]) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => at * 7 + (at >> 9));
    await writeFile(join(directory, `f${size}`), bytes);
  }
  await using sparse = await open(join(directory, "sparse"), "w");
  await sparse.write(Buffer.alloc(5000, "a"), 0, 5000, 1 << 20);
  await truncate(join(directory, "sparse"), 3 << 20);
  const path = join(work, "0.tar");
  execFileSync("tar", ["--sparse", "--format=posix", "-C", work, "-cf", path, "sizes"]);
  return path;
}

async function withLoops<T>(files: readonly string[], use: (loops: readonly string[]) => Promise<T>): Promise<T> {
  const loops: string[] = [];
  try {
    for (const file of files) {
      loops.push(execFileSync("losetup", ["--find", "--show", "--read-only", file], { encoding: "utf8" }).trim());
    }
    return await use(loops);
  } finally {
    for (const loop of loops) execFileSync("losetup", ["--detach", loop]);
  }
}

const MOUNT_SCRIPT = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
source, target, options = (os.fsencode(parameter) for parameter in sys.argv[1:])
if libc.mount(source, target, b"erofs", 1, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
`;

/** By mount(2) itself: mount(8) would put a loop device between. */
async function withFileMount<T>(
  { disk, devices }: { disk: string; devices: readonly string[] },
  use: (mountPoint: string) => Promise<T>,
): Promise<T> {
  const mountPoint = await mkdtemp(join(tmpdir(), "lamella-mount-"));
  const options = devices.map((device) => `device=${device}`).join(",");
  try {
    execFileSync("python3", ["-c", MOUNT_SCRIPT, disk, mountPoint, options]);
    try {
      return await use(mountPoint);
    } finally {
      execFileSync("umount", [mountPoint]);
    }
  } finally {
    await rmdir(mountPoint);
  }
}

function hasFileBackedMounts(): boolean {
  const [major = 0, minor = 0] = execFileSync("uname", ["-r"], { encoding: "utf8" }).split(".").map(Number);
  return process.platform === "linux" && (major > 6 || (major === 6 && minor >= 12));
}
