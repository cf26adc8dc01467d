import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

import { type Layer, type OverlayTreeOptions, overlayTrees } from "@lamella/layer-format";

import { type FuseMount, mountTree, type MountTreeOptions } from "./mount-tree.js";
import type { StateFile } from "./server/state-files.js";

export interface MountLayersOptions
  extends Omit<MountTreeOptions, "stateFile">, Pick<OverlayTreeOptions, "xattrs" | "onLoss" | "limits"> {
  /** The state file of each layer, the lowest of which is 0: see `mountTree`. */
  stateFile?: (layer: number) => ReturnType<StateFile>;
}

/** Layers that are mounted, the lowest first. Disposing of it unmounts them, and removes their directories. */
export interface LayerMounts extends AsyncDisposable {
  readonly mounts: readonly FuseMount[];
}

/**
 * Mounts each layer of an image as what overlayfs lays on those below it, in the directories `0`, `1` and so on of an existing one, which are made:
 * whiteouts are character devices 0:0, opaque directories have the xattr that `xattrs` says. An overlay with `lowerdir=…:1:0` shows the image.
 *
 * The layers are borrowed: close them after unmounting.
 *
 * @param layers the lowest first
 * @throws {FuseError} what `mountTree` throws
 * @throws {LayerFormatError} what `mergeLayers` throws
 */
export async function mountLayers(
  layers: readonly Layer[],
  directory: string,
  options: MountLayersOptions = {},
): Promise<LayerMounts> {
  const { xattrs, onLoss, limits, stateFile, ...others } = options;
  const { signal } = others;
  const mounts: FuseMount[] = [];
  const made: string[] = [];

  async function unmountAll(): Promise<void> {
    for (let mount = mounts.at(-1); mount !== undefined; mount = mounts.at(-1)) {
      await mount.unmount();
      mounts.pop();
    }
    for (let place = made.pop(); place !== undefined; place = made.pop()) await rmdir(place);
  }

  try {
    const trees = overlayTrees(layers, {
      ...(xattrs && { xattrs }),
      ...(onLoss && { onLoss }),
      ...(limits && { limits }),
      signal,
    });
    for await (const tree of trees) {
      const number = mounts.length;
      const place = join(directory, String(number));
      if (await makeDirectory(place)) made.push(place);
      const own = stateFile && { stateFile: () => stateFile(number) };
      mounts.push(await mountTree(tree, place, { ...others, ...own }));
    }
  } catch (error) {
    await unmountAll();
    throw error;
  }
  return { mounts: [...mounts], [Symbol.asyncDispose]: unmountAll };
}

/** False if it is there already. */
async function makeDirectory(place: string): Promise<boolean> {
  try {
    await mkdir(place);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}
