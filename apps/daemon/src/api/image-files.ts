import { LayerFormatError, mergeLayers, resolvePath } from "@lamella/layer-format";
import type { Entry, FileTree, HistoryEntry, ListOptions } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { OpenImage } from "../open-images.js";

/** What is at a path, without the image's links. */
export interface FoundFiles {
  readonly path: string;
  readonly entries: readonly HistoryEntry[];
}

/**
 * A directory of an image, or of what one of its layers changes; anything else alone. Links on the way are followed within the image, one at the end is not.
 * Undefined where there is nothing.
 */
export async function listFiles(
  { history }: OpenImage,
  path: string,
  options: ListOptions,
): Promise<FoundFiles | undefined> {
  const look = async (exact: string): Promise<FoundFiles | undefined> => {
    const entries = await history.list(exact, options);
    if (entries !== undefined) return { path: exact, entries };
    const entry = await history.find(exact, options);
    return entry && { path: exact, entries: [entry] };
  };
  const names = namesOf(path);
  const found = names.includes("..") ? undefined : await look(names.join("/"));
  if (found !== undefined) return found;
  const place = await placeOf(history.tree, names, options);
  return place === undefined ? undefined : look(place);
}

/** The file that a path leads to in the whole image, or in what its layers are up to one; links are followed within it. */
export async function findFile(
  { history, layers }: OpenImage,
  path: string,
  { layer, signal }: CallOptions & { readonly layer?: number | undefined },
): Promise<{ tree: FileTree; entry: Entry } | undefined> {
  const isWhole = layer === undefined || layer === layers.length - 1;
  // it is not closed, as the layers are not its own
  const tree = isWhole ? history.tree : await mergeLayers(layers.slice(0, layer + 1), { signal });
  const entry = await orNothing(resolvePath(tree, path, { signal }));
  return entry && { tree, entry };
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** A path whose parents are no links. */
async function placeOf(tree: FileTree, names: readonly string[], call: CallOptions): Promise<string | undefined> {
  const { signal } = call;
  const last = names.at(-1);
  if (last === undefined || last === "..") {
    return (await orNothing(resolvePath(tree, names.join("/"), { signal })))?.path;
  }
  const parent = await orNothing(resolvePath(tree, names.slice(0, -1).join("/"), { signal }));
  if (parent === undefined) return undefined;
  return parent.path === "" ? last : `${parent.path}/${last}`;
}

/** Links in a circle lead nowhere. */
async function orNothing(finding: Promise<Entry | undefined>): Promise<Entry | undefined> {
  try {
    return await finding;
  } catch (error) {
    if (error instanceof LayerFormatError && error.code === "layer_limit") return undefined;
    throw error;
  }
}
