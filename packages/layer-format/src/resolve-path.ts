import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "./errors.js";
import { displayPath } from "./display-path.js";
import type { Entry, FileTree } from "./file-tree.js";

/** As many as Linux follows (path_resolution(7)). */
const MAX_SYMLINKS = 40;

/**
 * The entry that a path leads to, symlinks followed, the last one too, and never past the tree's root: `/` and `..` mean
 * the image's. `path` is a byte string with or without a leading slash.
 * @returns `undefined` where nothing is there.
 * @throws {LayerFormatError} `layer_limit` for more than 40 symlinks.
 */
export async function resolvePath(tree: FileTree, path: string, options: CallOptions = {}): Promise<Entry | undefined> {
  const rest = components(path).toReversed();
  let at: string[] = [];
  let followed = 0;
  let entry = await tree.lookup("", options);
  while (rest.length > 0 && entry !== undefined) {
    const name = rest.pop() ?? "";
    if (name === "..") at.pop();
    else at.push(name);
    entry = await tree.lookup(at.join("/"), options);
    if (entry?.kind !== "symlink") continue;
    if (++followed > MAX_SYMLINKS) {
      throw new LayerFormatError(
        "layer_limit",
        `cannot resolve ${displayPath(path)}: more than ${MAX_SYMLINKS} symlinks`,
      );
    }
    at = entry.linkTarget.startsWith("/") ? [] : at.slice(0, -1);
    rest.push(...components(entry.linkTarget).toReversed());
    entry = await tree.lookup(at.join("/"), options);
  }
  return entry;
}

function components(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
