import type { Attributes } from "../file-tree.js";
import type { Directory, Inode, Leaf } from "./inode.js";

/** What a name in a directory was after a layer, until the next version. */
export interface Version {
  readonly layer: number;
  /** Undefined where the layer took the name away. */
  readonly inode: Inode | undefined;
  /** As they were then: those of a directory change in place. */
  readonly attributes: Attributes;
  readonly previous: Version | undefined;
}

/** The names that layers touch while they are merged, and what they were after each: at most one version for each entry of a layer. */
export interface ChangeLog {
  /** Every name that a directory ever had. */
  readonly names: Map<Directory, Map<string, Version>>;
  /** Of each layer. */
  readonly touched: Map<Directory, Set<string>>[];
  /** Where a directory is or was; it never moves. */
  readonly places: Map<Directory, { readonly parent: Directory; readonly name: string }>;
}

export function createChangeLog(): ChangeLog {
  return { names: new Map(), touched: [], places: new Map() };
}

/** Notes that the layer under way changes what a directory has under a name. */
export function touch(touched: Map<Directory, Set<string>>, directory: Directory, name: string): void {
  const names = touched.get(directory);
  if (names === undefined) touched.set(directory, new Set([name]));
  else names.add(name);
}

/** Closes a layer: what it has touched is now as it leaves it. */
export function logLayer(log: ChangeLog, layer: number, touched: Map<Directory, Set<string>>): void {
  log.touched[layer] = touched;
  for (const [directory, names] of touched) {
    const versions = log.names.get(directory) ?? new Map<string, Version>();
    log.names.set(directory, versions);
    for (const name of names) {
      const inode = directory.children.get(name)?.inode;
      const previous = versions.get(name);
      // what a layer makes and takes away again was never there
      if (inode === undefined && previous?.inode === undefined) continue;
      versions.set(name, { layer, inode, attributes: (inode ?? directory).attributes, previous });
      if (inode?.children !== undefined) log.places.set(inode, { parent: directory, name });
    }
  }
}

/** What a directory had under a name after a layer. */
export function versionAt(log: ChangeLog, directory: Directory, name: string, layer: number): Version | undefined {
  let version = log.names.get(directory)?.get(name);
  while (version !== undefined && version.layer > layer) version = version.previous;
  return version?.inode === undefined ? undefined : version;
}

/** The names in each directory by which one comes to all that a layer has touched. */
export function pathsToTouched(log: ChangeLog, layer: number): ReadonlyMap<Directory, ReadonlySet<string>> {
  const paths = new Map<Directory, Set<string>>();
  for (const [directory, names] of log.touched[layer] ?? []) {
    paths.set(directory, new Set([...names, ...(paths.get(directory) ?? [])]));
    for (let place = log.places.get(directory); place !== undefined; place = log.places.get(place.parent)) {
      if (paths.get(place.parent)?.has(place.name) === true) break;
      touch(paths, place.parent, place.name);
    }
  }
  return paths;
}

export function leafOf(version: Version | undefined): Leaf | undefined {
  return version?.inode?.children === undefined ? version?.inode : undefined;
}

export function directoryOf(version: Version | undefined): Directory | undefined {
  return version?.inode?.children === undefined ? undefined : version.inode;
}
