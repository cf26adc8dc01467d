import type { Listed } from "./listing.js";

interface Shown {
  readonly listed: Listed;
  /** The image that the entry is of: hard links are only within one. */
  readonly image: number;
  readonly children: Map<string, Shown> | undefined;
}

export interface OverlayModelOptions {
  /** The xattrs' prefix that the mount reads: `trusted.overlay.` or, with `userxattr`, `user.overlay.`. */
  prefix: string;
}

/**
 * What overlayfs shows of read-only layers, the lowest first (Documentation/filesystems/overlayfs.rst), link counts aside. Each layer is asked from
 * the top until a whiteout, an opaque directory or anything else than a directory ends it.
 */
export function showOverlay(images: readonly (readonly Listed[])[], { prefix }: OverlayModelOptions): Listed[] {
  const roots = images.map((image, index) => plant(image, index)).reverse();
  const shown: Listed[] = [];
  const firstNames = new Map<string, string>();
  visit("", roots);
  return shown;

  function visit(path: string, stack: readonly Shown[]): void {
    const top = stack[0]!;
    const inode = `${top.image} ${top.listed.firstName}`;
    if (!firstNames.has(inode)) firstNames.set(inode, path);
    const firstName = top.children === undefined ? firstNames.get(inode)! : path;
    shown.push({ ...top.listed, path, firstName, links: 0, xattrs: shownXattrs(top.listed.xattrs, prefix) });
    if (top.children === undefined) return;
    const names = new Set(stack.flatMap(({ children }) => [...children!.keys()]));
    for (const name of [...names].sort()) {
      const below = look(stack, name);
      if (below.length > 0) visit(path === "" ? name : `${path}/${name}`, below);
    }
  }

  function look(stack: readonly Shown[], name: string): Shown[] {
    const found: Shown[] = [];
    for (const { children } of stack) {
      const there = children!.get(name);
      if (there === undefined) continue;
      if (there.listed.device === "0:0" && there.listed.kind === "char") break;
      if (there.children === undefined) return found.length === 0 ? [there] : found;
      found.push(there);
      if (there.listed.xattrs[`${prefix}opaque`] === "79") break;
    }
    return found;
  }
}

function plant(image: readonly Listed[], index: number): Shown {
  const nodes = new Map<string, Shown>();
  for (const listed of image) {
    const node = { listed, image: index, children: listed.kind === "directory" ? new Map() : undefined };
    nodes.set(listed.path, node);
    if (listed.path === "") continue;
    const slash = listed.path.lastIndexOf("/");
    nodes.get(listed.path.slice(0, Math.max(slash, 0)))!.children!.set(listed.path.slice(slash + 1), node);
  }
  return nodes.get("")!;
}

/** Its own are hidden, escaped ones are shown as they were (Linux 6.7). */
function shownXattrs(xattrs: Record<string, string>, prefix: string): Record<string, string> {
  const escaped = `${prefix}overlay.`;
  return Object.fromEntries(
    Object.entries(xattrs)
      .filter(([name]) => !name.startsWith(prefix) || name.startsWith(escaped))
      .map(([name, value]) => [name.startsWith(escaped) ? prefix + name.slice(escaped.length) : name, value]),
  );
}
