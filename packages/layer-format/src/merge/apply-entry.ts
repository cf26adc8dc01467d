import type { LayerEntry } from "../layer.js";
import { findDirectory, findInode, makeDirectories, splitPath } from "./path.js";
import { admitName, noteChange, refuse, type MergeState } from "./state.js";
import { IMPLIED, createDirectory, createLeaf, pickAttributes, type Directory, type Leaf } from "./inode.js";

/** Applies one entry of the state's current layer (OCI image-spec, layer.md, "Applying Changesets"). */
export function applyEntry(state: MergeState, entry: LayerEntry): void {
  state.entry = entry;
  if (entry.kind === "opaque") {
    state.lastParent = undefined;
    const directory = findDirectory(state, entry.path);
    if (directory !== undefined) clearLower(state, directory);
    return;
  }
  if (entry.path === "") return applyRoot(state, entry);
  const { parent, name } = splitPath(entry.path);
  if (entry.kind === "whiteout") {
    state.lastParent = undefined;
    const directory = findDirectory(state, parent);
    if (directory !== undefined) removeLower(state, directory, name);
    return;
  }
  const directory = makeDirectories(state, parent);
  if (directory.children.has(name)) state.lastParent = undefined;
  noteChange(state, directory, name);
  if (entry.kind === "directory") placeDirectory(state, directory, name, entry);
  else if (entry.kind === "hardlink") placeHardLink(state, directory, name, entry);
  else placeLeaf(state, directory, name, entry);
}

function applyRoot(state: MergeState, entry: LayerEntry): void {
  if (entry.kind !== "directory") refuse(state, "layer_invalid", `the root cannot be a ${entry.kind}`);
  state.root.attributes = entry;
  state.root.broughtBy = state.layer;
}

function placeDirectory(state: MergeState, parent: Directory, name: string, entry: LayerEntry): void {
  const there = parent.children.get(name);
  if (there?.inode.children !== undefined) {
    there.layer = state.layer;
    there.inode.attributes = entry;
    there.inode.broughtBy = state.layer;
    return;
  }
  const inode = createDirectory(entry, admitName(state, parent, name), state.layer);
  parent.children.set(name, { inode, layer: state.layer });
}

function placeLeaf(state: MergeState, parent: Directory, name: string, entry: LayerEntry): void {
  if (entry.kind === "symlink") checkTarget(state, entry.linkTarget);
  admitName(state, parent, name);
  parent.children.set(name, { inode: createLeaf(entry, state.layer), layer: state.layer });
}

function checkTarget(state: MergeState, target: string): void {
  const { pathBytes } = state.limits;
  if (target === "") refuse(state, "layer_invalid", "the symlink has no target");
  // Linux counts the closing NUL into PATH_MAX.
  if (target.length >= pathBytes) refuse(state, "layer_limit", `the symlink's target has over ${pathBytes - 1} bytes`);
}

function placeHardLink(state: MergeState, parent: Directory, name: string, entry: LayerEntry): void {
  // What the link replaces goes first, so that neither it nor anything below it can be the target.
  parent.children.delete(name);
  const target = findInode(state, entry.linkTarget);
  if (target === undefined) refuse(state, "layer_invalid", "the target of the hard link is not there");
  if (target.children !== undefined) refuse(state, "layer_invalid", "the target of the hard link is a directory");
  admitName(state, parent, name);
  setLinkAttributes(state, target, entry);
  parent.children.set(name, { inode: target, layer: state.layer });
}

/** The header of a hard link describes the shared inode again; xattrs are added to those that it has. */
function setLinkAttributes(state: MergeState, target: Leaf, entry: LayerEntry): void {
  const xattrs = joinXattrs(state, target.attributes.xattrs, entry.xattrs);
  target.attributes = {
    ...pickAttributes(entry),
    mode: target.source.kind === "symlink" ? target.attributes.mode : entry.mode,
    xattrs,
  };
}

type Xattrs = ReadonlyMap<string, Uint8Array>;

/** Copies no map twice: a file may have as many links as a layer has entries. */
function joinXattrs(state: MergeState, there: Xattrs, added: Xattrs): Xattrs {
  if (added.size === 0) return there;
  const joined = (state.ownXattrs.has(there) ? there : new Map(there)) as Map<string, Uint8Array>;
  for (const [name, value] of added) joined.set(name, value);
  const { xattrs } = state.limits;
  if (joined.size > xattrs) refuse(state, "layer_limit", `its links give the file over ${xattrs} extended attributes`);
  state.ownXattrs.add(joined);
  return joined;
}

/** Removes what lower layers have at `name`. What this layer has brought there or below stays. */
function removeLower(state: MergeState, parent: Directory, name: string): void {
  const there = parent.children.get(name);
  if (there === undefined) return;
  noteChange(state, parent, name);
  const { inode } = there;
  if (inode.children === undefined) {
    if (there.layer !== state.layer) parent.children.delete(name);
    return;
  }
  if (inode.broughtBy !== state.layer) {
    parent.children.delete(name);
    return;
  }
  // If only what is below keeps it, nothing describes it any more.
  if (there.layer !== state.layer) inode.attributes = IMPLIED;
  clearLower(state, inode);
}

function clearLower(state: MergeState, directory: Directory): void {
  // Nothing of lower layers can come back; without this, repeated markers would take quadratic time.
  if (directory.clearedBy === state.layer) return;
  directory.clearedBy = state.layer;
  for (const name of directory.children.keys()) removeLower(state, directory, name);
}
