import { resolvePath } from "@lamella/layer-format";
import type { FileTree, Layer, LayerEntry } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { baseName } from "../../entry-path.js";
import { DiskExportError } from "../../errors.js";

/**
 * A layer in which the markers of `layer` find something to remove: a directory with a file for each whiteout, a file in each opaque directory, and a file that
 * stays beside each whiteout. Laid below it, it brings out what the markers mean for any layer below.
 *
 * @param own the tree that the layer makes alone, through whose symlinks markers are resolved
 * @throws {DiskExportError} `unsupported` where the root is opaque
 */
export async function layerBelowMarkers(layer: Layer, own: FileTree, { signal }: CallOptions): Promise<Layer> {
  const name = unusedName(layer);
  const entries: LayerEntry[] = [];
  for (const { kind, path } of layer.entries) {
    if (kind === "opaque") {
      if (path === "") throw opaqueRoot(layer);
      entries.push(emptyFile(join(await realPath(own, path, { signal }), name)));
    } else if (kind === "whiteout") {
      const parent = await realPath(own, path.slice(0, Math.max(path.lastIndexOf("/"), 0)), { signal });
      entries.push(emptyFile(join(parent, name)), emptyFile(join(join(parent, baseName(path)), name)));
    }
  }
  return {
    diffID: layer.diffID,
    entries,
    async *readContents() {
      // Its files are empty.
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** One that no entry of the layer has as its last: whatever the layer brings, it does not replace the file. */
function unusedName({ entries }: Layer): string {
  const taken = new Set(entries.map(({ path }) => baseName(path)));
  let number = 0;
  while (taken.has(`below-${number}`)) number += 1;
  return `below-${number}`;
}

/** Where the tree has nothing, the path stands for a directory below. */
async function realPath(tree: FileTree, path: string, options: CallOptions): Promise<string> {
  return (await resolvePath(tree, path, options))?.path ?? path;
}

function join(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

function opaqueRoot({ diffID }: Layer): DiskExportError {
  const why = "its root is opaque, which overlayfs cannot be told without knowing the layers below";
  return new DiskExportError("unsupported", `cannot make an overlay's disk of layer ${diffID} alone: ${why}`);
}

function emptyFile(path: string): LayerEntry {
  return {
    path,
    kind: "file",
    mode: 0,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contentOffset: 0,
  };
}
