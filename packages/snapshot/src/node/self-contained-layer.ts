import type { FileKind, Layer } from "@lamella/layer-format";

/**
 * Whether what a layer makes alone it makes on any other: it brings the directories of all its paths, and the targets of its hard links, before them. Nothing below
 * can be in its way then. Most layers are so; of the others, merging tells.
 */
export function isSelfContained({ entries }: Layer): boolean {
  const brought = new Map<string, FileKind>([["", "directory"]]);
  for (const { path, kind, linkTarget } of entries) {
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    const scope = kind === "opaque" ? path : parent;
    if (brought.get(scope) !== "directory") return false;
    if (kind === "whiteout" || kind === "opaque") continue;
    const target = kind === "hardlink" ? brought.get(linkTarget) : kind;
    if (target === undefined) return false;
    // What it had brought below a directory would go with it.
    if (target !== "directory" && brought.get(path) === "directory") return false;
    brought.set(path, target);
  }
  return true;
}
