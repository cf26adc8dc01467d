import { attributeAspects, isSameContent } from "@lamella/layer-format";
import type { Entry, FileTree, InodeOrigin, LayeredTree, OpenEntry } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

export interface SamenessOptions extends CallOptions {
  /**
   * When the bytes of two files that agree in all attributes are compared. `metadata`, the default, is containerd's rule: equal times with
   * nanoseconds mean equal bytes, and bytes are compared where the times are whole seconds, as those of most layers. Files that come from one
   * entry of one layer are the same without being read, always.
   */
  content?: "metadata" | "always" | undefined;
  /** Times are whole seconds, in the layer and where entries are compared, as containerd writes them. By default they are exact. */
  wholeSeconds?: boolean | undefined;
}

/** Whether two entries of one path say the same of their inode, its names apart. */
export async function isSameInode(lower: OpenEntry, upper: OpenEntry, options: SamenessOptions): Promise<boolean> {
  const [, old] = lower;
  const [, now] = upper;
  for (const aspect of attributeAspects(old, now)) {
    const isFraction = aspect === "mtime" && options.wholeSeconds === true && old.mtimeSeconds === now.mtimeSeconds;
    if (!isFraction) return false;
  }
  if (now.kind !== "file" || now.size === 0 || isSameOrigin(lower, upper)) return true;
  const isExact = now.mtimeNanoseconds !== 0 && now.mtimeNanoseconds === old.mtimeNanoseconds;
  if (options.content !== "always" && isExact) return true;
  return isSameContent(lower, upper, { signal: options.signal });
}

function isSameOrigin(lower: OpenEntry, upper: OpenEntry): boolean {
  const one = originOf(lower);
  const other = originOf(upper);
  if (one === undefined || other === undefined || one.diffID !== other.diffID) return false;
  // One layer may be read in two ways, which lay out its contents differently.
  return one.entry.path === other.entry.path && one.entry.contentOffset === other.entry.contentOffset;
}

function originOf([tree, entry]: OpenEntry): InodeOrigin | undefined {
  return isLayered(tree) ? tree.origin(entry) : undefined;
}

function isLayered(tree: FileTree): tree is LayeredTree {
  return "origin" in tree;
}

/** What a layer can hold of an entry: a socket is none of it. */
export function withoutSocket(entry: Entry | undefined): Entry | undefined {
  return entry?.kind === "socket" ? undefined : entry;
}
