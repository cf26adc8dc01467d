import { hasSameAttributes } from "../tree-comparison.js";
import { directoryOf, leafOf, pathsToTouched, versionAt } from "./change-log.js";
import type { ChangeLog, Version } from "./change-log.js";
import type { Directory, Leaf } from "./inode.js";

/** A name before a layer and after it; at least one of the two is there. */
export interface NameChange {
  readonly name: string;
  readonly before: Version | undefined;
  readonly after: Version | undefined;
}

/** What a layer does below a directory. Bytes of a file of several names are told where the first of those is. */
interface DirectorySurvey {
  readonly isChanged: boolean;
  /** Of the files that the layer brings. */
  readonly broughtBytes: number;
  readonly removedBytes: number;
}

/** What one layer does to the tree of those below it. */
export interface LayerSurvey {
  /** The names that may have changed between a directory before and one after, which may be the same, in byte order. */
  changesIn(before: Directory | undefined, after: Directory | undefined): NameChange[];
  /** By the directory after the layer, or the one before it where there is none after it. */
  readonly directories: ReadonlyMap<Directory, DirectorySurvey>;
}

/** Is told of each name of something that is no directory, where the layer changes what it leads to. */
export type OnLeaf = (before: Leaf | undefined, after: Leaf | undefined) => void;

/** Looks at what the layer touches, and nothing else. */
export function surveyLayer(log: ChangeLog, layer: number, root: Directory, onLeaf: OnLeaf = () => {}): LayerSurvey {
  const paths = pathsToTouched(log, layer);
  const directories = new Map<Directory, DirectorySurvey>();
  const counted = new Set<Leaf>();

  function changesIn(before: Directory | undefined, after: Directory | undefined): NameChange[] {
    const changes: NameChange[] = [];
    for (const name of namesOf(before, after)) {
      const old = before && versionAt(log, before, name, layer - 1);
      const now = after && versionAt(log, after, name, layer);
      if (old !== undefined || now !== undefined) changes.push({ name, before: old, after: now });
    }
    return changes.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  function namesOf(before: Directory | undefined, after: Directory | undefined): Iterable<string> {
    if (before !== undefined && before === after) return paths.get(before) ?? [];
    const [old, now] = [before, after].map((directory) => directory && log.names.get(directory)?.keys());
    return new Set([...(old ?? []), ...(now ?? [])]);
  }

  function bytesOnce(leaf: Leaf | undefined): number {
    if (leaf === undefined || counted.has(leaf)) return 0;
    counted.add(leaf);
    return dataBytes(leaf);
  }

  function survey(before: Directory | undefined, after: Directory | undefined): DirectorySurvey {
    let isChanged = false;
    let broughtBytes = 0;
    let removedBytes = 0;
    for (const change of changesIn(before, after)) {
      const [old, now] = [directoryOf(change.before), directoryOf(change.after)];
      if (old !== undefined || now !== undefined) {
        const below = survey(old, now);
        isChanged ||= below.isChanged || !isSameDirectory(change);
        broughtBytes += below.broughtBytes;
        removedBytes += below.removedBytes;
      }
      const [oldLeaf, leaf] = [leafOf(change.before), leafOf(change.after)];
      if (oldLeaf === leaf) continue;
      isChanged = true;
      onLeaf(oldLeaf, leaf);
      if (leaf?.layer === layer) broughtBytes += bytesOnce(leaf);
      if (leaf === undefined) removedBytes += bytesOnce(oldLeaf);
    }
    const result = { isChanged, broughtBytes, removedBytes };
    const directory = after ?? before;
    if (directory !== undefined) directories.set(directory, result);
    return result;
  }

  survey(root, root);
  return { changesIn, directories };
}

/** Whether one is there before and after, with the same attributes: layers mostly bring the directories again that what they bring lies in. */
export function isSameDirectory({ before, after }: NameChange): boolean {
  if (directoryOf(before) === undefined || directoryOf(after) === undefined) return false;
  return hasSameAttributes(before!.attributes, after!.attributes);
}

/** What a file holds; its holes are nothing. */
export function dataBytes({ source: { kind, size, extents } }: Leaf): number {
  if (kind !== "file") return 0;
  return extents === undefined ? size : extents.reduce((sum, { length }) => sum + length, 0);
}
