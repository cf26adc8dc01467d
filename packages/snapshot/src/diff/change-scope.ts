import type { LayerEntry } from "@lamella/layer-format";

/** A path with a slash at an end, or a component that is empty, `.` or `..`. */
const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** Which names of the lower tree have a say in what a layer changes. */
export class ChangeScope {
  /** Directories whose own names have. */
  readonly #listed = new Set<string>([""]);
  /** Directories of which everything has: what they had may be gone. */
  readonly #deep = new Set<string>();

  /** @returns undefined where the layer's paths may lead through symlinks */
  static of(changes: readonly LayerEntry[]): ChangeScope | undefined {
    const scope = new ChangeScope();
    for (const { kind, path, linkTarget } of changes) {
      scope.listParents(path);
      if (kind === "hardlink") {
        if (UNCLEAN.test(linkTarget)) return undefined;
        scope.listParents(linkTarget);
      }
      if (kind === "directory" || kind === "opaque") scope.#listed.add(path);
      if (kind === "opaque") scope.#deep.add(path);
    }
    for (const { kind, path } of changes) {
      if (kind === "directory" || kind === "opaque" || !scope.#listed.has(path)) continue;
      if (kind !== "whiteout") return undefined;
      scope.#deep.add(path);
    }
    return scope;
  }

  /** How many directories are listed. */
  get size(): number {
    return this.#listed.size;
  }

  listParents(path: string): void {
    for (let at = path.lastIndexOf("/"); at >= 0; at = path.lastIndexOf("/", at - 1)) {
      const parent = path.slice(0, at);
      if (this.#listed.has(parent)) return;
      this.#listed.add(parent);
    }
  }

  isListed(path: string): boolean {
    return this.#listed.has(path);
  }

  /** Tells of one path after another, in a tree's order, whether it is in the scope. */
  createFilter(): (path: string) => boolean {
    let below: string | undefined;
    return (path) => {
      if (below !== undefined && path.startsWith(below)) return true;
      below = undefined;
      if (!this.#listed.has(path.slice(0, Math.max(0, path.lastIndexOf("/"))))) return false;
      if (this.#deep.has(path)) below = path === "" ? "" : `${path}/`;
      return true;
    };
  }
}
