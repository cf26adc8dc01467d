import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import { withContainerd } from "./containerd.js";
import { OracleError } from "./errors.js";
import { readDiffIds, topChainId } from "./layout-image.js";
import type { LayoutImage } from "./layout-image.js";
import { withMount } from "./mount.js";

/** A directory below all layers: overlayfs wants at least two lower ones. */
const BOTTOM = "0";

/**
 * Unpacks an image with containerd and its overlayfs snapshotter, as root: one directory a layer in the new directory
 * `target`, for `mountLayers`. Returns how many.
 *
 * The native snapshotter, which gives one plain directory, is of no use here: its copying loses the times of directories and
 * separates hard-linked symlinks.
 */
export async function unpackWithContainerd(
  image: LayoutImage & { target: string },
  options: CallOptions = {},
): Promise<number> {
  options.signal?.throwIfAborted();
  const diffIds = await readDiffIds(image);
  const work = await mkdtemp(`${image.target}.`);
  try {
    const archive = join(work, "image.tar");
    await runCommand("tar", ["-C", image.layout, "-cf", archive, "."], { accept: [0], ...options });
    // beside the target: the layers are moved, not copied
    const directories = await withContainerd({ root: join(work, "root"), ...options }, async ({ ctr }) => {
      await ctr(
        ["images", "import", "--snapshotter", "overlayfs", "--base-name", "oracle.invalid/image", archive],
        options,
      );
      // in one step: a view that nothing holds may be collected before a second command asks for it
      const view = [
        "snapshots",
        "--snapshotter",
        "overlayfs",
        "view",
        "--target",
        "/nowhere",
        "oracle",
        topChainId(diffIds),
      ];
      return layerDirectories((await ctr(view, options)).output);
    });
    if (directories.length !== diffIds.length) {
      throw new OracleError(
        "tool_failed",
        `cannot unpack ${image.layout}:${image.tag}: ${directories.length} of ${diffIds.length} layers`,
      );
    }
    const finished = join(work, "layers");
    await mkdir(join(finished, BOTTOM), { recursive: true });
    for (const [index, directory] of directories.entries()) await rename(directory, join(finished, String(index + 1)));
    await mkdir(dirname(image.target), { recursive: true });
    await rename(finished, image.target);
    return directories.length;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Mounts `count` layers that `unpackWithContainerd` made in `directory` as one tree, as containerd shows them to a container.
 * More options of overlayfs may be given.
 */
export async function mountLayers<T>(
  layers: CallOptions & { directory: string; count: number; options?: readonly string[] },
  use: (mountPoint: string) => Promise<T>,
): Promise<T> {
  // relative names: all options of a mount must fit into one page
  const names = Array.from({ length: layers.count }, (_, index) => String(layers.count - index));
  const options = ["ro", "index=off", ...(layers.options ?? []), `lowerdir=${[...names, BOTTOM].join(":")}`];
  const parameters = ["-t", "overlay", "overlay", "-o", options.join(",")];
  return withMount({ parameters, cwd: layers.directory, signal: layers.signal }, use);
}

/** Lowest first, from what `ctr snapshots view --target` prints: an overlay of several layers, or a bind mount of the only one. */
function layerDirectories(command: string): string[] {
  const overlay = /lowerdir=([^\s,]+)/.exec(command)?.[1];
  if (overlay !== undefined) return overlay.split(":").reverse();
  const bound = /mount -t bind (\S+)/.exec(command)?.[1];
  return bound === undefined ? [] : [bound];
}
