import { displayPath } from "../display-path.js";
import { admitName, noteChange, refuse, type MergeState } from "./state.js";
import { IMPLIED, createDirectory, type Directory, type Inode } from "./inode.js";

/** As many as containerd follows for one path. */
const MAX_SYMLINKS = 255;

interface Walk {
  /** The directories from the root to where the walk has come. */
  readonly trail: Directory[];
  /** The names after that which do not exist. */
  readonly missing: string[];
}

/**
 * The directory that `path` leads to inside the image: symlinks are followed, an absolute one from the image's root, `..` stops
 * there. What is missing is made with implied attributes, also behind a dangling symlink.
 */
export function makeDirectories(state: MergeState, path: string): Directory {
  const { layer, lastParent } = state;
  if (lastParent !== undefined && lastParent.path === path && lastParent.layer === layer) return lastParent.directory;
  const { trail, missing } = walk(state, path);
  for (const directory of trail) directory.broughtBy = layer;
  let last = endOf(trail);
  for (const name of missing) {
    const made = createDirectory(IMPLIED, admitName(state, last, name), layer);
    noteChange(state, last, name);
    last.children.set(name, { inode: made, layer });
    last = made;
  }
  state.lastParent = { path, layer, directory: last };
  return last;
}

/** As {@link makeDirectories}, but makes nothing: undefined if there is no such directory. */
export function findDirectory(state: MergeState, path: string): Directory | undefined {
  const { trail, missing } = walk(state, path);
  return missing.length === 0 ? endOf(trail) : undefined;
}

/** What is at `path`: its parents are resolved, a symlink at its end is not followed. */
export function findInode(state: MergeState, path: string): Inode | undefined {
  const trimmed = path.replace(/\/+$/, "");
  const { parent, name } = splitPath(trimmed);
  const directory = findDirectory(state, parent);
  if (directory === undefined || name === "" || name === "." || name === "..") return directory;
  return directory.children.get(name)?.inode;
}

export function splitPath(path: string): { parent: string; name: string } {
  const slash = path.lastIndexOf("/");
  return { parent: slash < 0 ? "" : path.slice(0, slash), name: path.slice(slash + 1) };
}

function walk(state: MergeState, path: string): Walk {
  const trail = [state.root];
  const missing: string[] = [];
  // The components still to go, the next one last.
  const pending = path.split("/").reverse();
  let symlinks = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (++state.pathSteps > state.limits.pathSteps)
      refuse(state, "layer_limit", `paths take over ${state.limits.pathSteps} steps to resolve`);
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (missing.pop() === undefined && trail.length > 1) trail.pop();
      continue;
    }
    const inode = missing.length > 0 ? undefined : endOf(trail).children.get(name)?.inode;
    if (inode === undefined) missing.push(name);
    else if (inode.children !== undefined) trail.push(inode);
    else if (inode.source.kind === "symlink") {
      if (++symlinks > MAX_SYMLINKS)
        refuse(state, "layer_invalid", `its path leads through over ${MAX_SYMLINKS} symlinks`);
      const target = inode.source.linkTarget;
      if (target.startsWith("/")) trail.length = 1;
      pending.push(...target.split("/").reverse());
    } else refuse(state, "layer_invalid", `"${displayPath(name)}" in its path is not a directory`);
  }
  return { trail, missing };
}

function endOf(trail: readonly Directory[]): Directory {
  return trail[trail.length - 1] as Directory;
}
