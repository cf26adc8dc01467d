import type { Entry } from "@lamella/layer-format";

import { shownPath } from "./entry-path.js";
import { DiskExportError } from "./errors.js";

const NOT_BYTES = /[^\0-\xff]/;

/** Follows a tree's entries in their order and knows the directories that are open: the last one and those above it. */
export interface Ancestry<Node> {
  /**
   * What `enter` was given for the parent of this entry; undefined for the root.
   * @throws {DiskExportError} `tree_invalid` where the parent did not come before, or its subtree was left already
   */
  parentOf(entry: Entry): Node | undefined;
  /** This entry is a directory and `node` stands for it. */
  enter(entry: Entry, node: Node): void;
}

export function createAncestry<Node>(): Ancestry<Node> {
  const open: { path: string; node: Node }[] = [];

  return {
    parentOf(entry) {
      const { path } = entry;
      if (NOT_BYTES.test(path))
        throw new DiskExportError("tree_invalid", `cannot place ${JSON.stringify(path)}: not a byte string`);
      if (open.length === 0) {
        if (path === "" && entry.kind === "directory") return undefined;
        throw new DiskExportError(
          "tree_invalid",
          `cannot place ${shownPath(entry)}: the root directory did not come first`,
        );
      }
      const parentLength = path === "" ? -1 : Math.max(path.lastIndexOf("/"), 0);
      for (let parent = open.at(-1); parent !== undefined; parent = open.at(-1)) {
        if (parent.path.length === parentLength && path.startsWith(parent.path)) return parent.node;
        open.pop();
      }
      throw new DiskExportError(
        "tree_invalid",
        `cannot place ${shownPath(entry)}: its parent is not a directory that came before it`,
      );
    },
    enter(entry, node) {
      open.push({ path: entry.path, node });
    },
  };
}
