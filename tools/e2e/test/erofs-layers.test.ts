import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type ErofsLayerOptions, planErofsLayers, writeDisk } from "@lamella/disk-export";
import { layerStack } from "@lamella/fuzz";
import type { FileTree } from "@lamella/layer-format";
import {
  compareTrees,
  type Comparison,
  describeDifferences,
  type Difference,
  fsckErofs,
  missing,
  mountLayers,
  runCommand,
} from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { layerOf, mergeTars, treeRecords } from "./layer-stack-image.js";

const LAYERS = 20;
const reason = missing(["root", "mount", "python3", "fsck.erofs"]);

describe.skipIf(reason !== undefined)(`disks of layers (${reason ?? "under the kernel's overlayfs"})`, () => {
  let work = "";
  let tars: readonly Buffer[] = [];
  let tree: FileTree;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-erofs-layers-"));
    tars = layerStack({ seed: 5, layers: LAYERS, stacks: 40, changes: 12 });
    tree = await mergeTars(tars);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each([
    { xattrs: "trusted", options: [] },
    { xattrs: "user", options: ["userxattr"] },
    { xattrs: "trusted", options: [], compression: "lz4" },
  ] as const)("show the merged tree, $xattrs xattrs, $compression", async ({ xattrs, options, compression }) => {
    const directory = await mkdtemp(join(work, "layers-"));
    const images = await writeImages(directory, {
      overlayXattrs: xattrs,
      ...(compression === undefined ? {} : { compression }),
    });
    for (const image of images) {
      const { clean, output } = await fsckErofs(image);
      expect(clean, output).toBe(true);
    }
    const comparison = await withMounts(directory, images, () => compare(directory, { count: LAYERS, options }));
    expect(describeDifferences(comparison)).toBe("");
    expect(comparison.entryCount).toBeGreaterThan(400);
  });

  it("are seen to differ where one is missing, or the overlay reads other xattrs", async () => {
    const directory = await mkdtemp(join(work, "broken-"));
    const images = await writeImages(directory, {});
    await withMounts(directory, images, async () => {
      for (const wrong of [{ count: LAYERS - 1 }, { count: LAYERS, options: ["userxattr"] }]) {
        expect((await compare(directory, wrong)).differenceCount).toBeGreaterThan(0);
      }
    });
  });

  /** One disk a layer, for a mount point `1` (the lowest) and so on beside it; `0` is an empty directory. */
  async function writeImages(directory: string, options: ErofsLayerOptions): Promise<string[]> {
    const images: string[] = [];
    await mkdir(join(directory, "0"));
    for await (const plan of planErofsLayers(tars.map(layerOf), options)) {
      await using disk = plan;
      const image = join(directory, `layer-${images.length + 1}.erofs`);
      await writeDisk(disk, image);
      images.push(image);
    }
    return images;
  }

  function compare(directory: string, mount: { count: number; options?: readonly string[] }): Promise<Comparison> {
    return mountLayers({ directory, ...mount }, (mountPoint) =>
      compareTrees(treeRecords(tree), mountPoint, { ignore: [hiddenLinks] }),
    );
  }
});

async function withMounts<T>(directory: string, images: readonly string[], use: () => Promise<T>): Promise<T> {
  const mounted: string[] = [];
  try {
    for (const [index, image] of images.entries()) {
      const mountPoint = join(directory, String(index + 1));
      await mkdir(mountPoint);
      await runCommand("mount", ["-t", "erofs", "-o", "ro,loop", image, mountPoint], { accept: [0] });
      mounted.push(mountPoint);
    }
    return await use();
  } finally {
    for (const mountPoint of mounted) await runCommand("umount", [mountPoint], { accept: [0] });
  }
}

/** overlayfs gives the link count of the inode below, names included that a higher layer hides. */
function hiddenLinks({ field, expected, actual }: Difference): boolean {
  return field === "links" && Number(actual) > Number(expected);
}
