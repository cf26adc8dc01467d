import { lstat, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";

import {
  attributeAspects,
  createTreeLayer,
  type Layer,
  type LayerEntry,
  layerFromOverlay,
  mergeLayers,
} from "@lamella/layer-format";
import type { Entry, FileTree, OverlayXattrs } from "@lamella/layer-format";
import { openDirectoryTree, unpackTree } from "@lamella/layer-format/node";
import { type CallOptions, digestOf } from "@lamella/refs";

import { contentPath, removeLeftovers, replaceContent } from "./snapshot-content.js";

export function workPath(snapshot: string): string {
  return join(snapshot, "work");
}

/** Makes an empty upper directory, in place of what there is. The root of an overlay is that of its upper directory, so it is as that of the layer below. */
export async function createUpper(snapshot: string, below: Layer | undefined, options: CallOptions): Promise<void> {
  await replaceContent(snapshot, async (directory) => {
    const root = below && rootOf(below);
    if (root === undefined) return;
    await using tree = await mergeLayers([layerOf(root)], options);
    await unpackTree(tree, directory, options);
  });
  await rm(workPath(snapshot), { recursive: true, force: true });
  await mkdir(workPath(snapshot), { mode: 0o711 });
}

/** What the upper directory says; undefined where it says nothing that the layer below does not, or there is none. */
export async function openUpper(
  snapshot: string,
  { below, xattrs, signal }: CallOptions & { below: Layer | undefined; xattrs: OverlayXattrs },
): Promise<Layer | undefined> {
  const path = contentPath(snapshot);
  if (!(await exists(path))) return undefined;
  const tree: FileTree = await openDirectoryTree(path, { xattrs: true, signal });
  const layer = await layerFromOverlay(tree, { xattrs, signal }).catch(async (error: unknown) => {
    await tree[Symbol.asyncDispose]();
    throw error;
  });
  const root = rootOf(layer);
  const rootBelow = below && rootOf(below);
  const isFresh =
    layer.entries.length === 1 && root !== undefined && rootBelow !== undefined && isSame(rootBelow, root);
  if (!isFresh) return layer;
  await layer[Symbol.asyncDispose]();
  return undefined;
}

/** Removes the upper directory, and what calls that were broken off have left. */
export async function removeUpper(snapshot: string): Promise<void> {
  await rm(contentPath(snapshot), { force: true });
  await rm(workPath(snapshot), { recursive: true, force: true });
  await removeLeftovers(snapshot);
}

function rootOf({ entries }: Layer): LayerEntry | undefined {
  return entries.find(({ path, kind }) => path === "" && kind === "directory");
}

function layerOf(root: LayerEntry): Layer {
  const nothing: FileTree = {
    entryCount: 0,
    inodeCount: 0,
    async *entries() {
      // It lends a layer no files.
    },
    lookup: () => Promise.resolve(undefined),
    async *read() {
      // It has none.
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return createTreeLayer(nothing, { diffID: digestOf(new Uint8Array()), entries: [root], files: new Map() });
}

function isSame(one: LayerEntry, other: LayerEntry): boolean {
  return attributeAspects(asEntry(one), asEntry(other)).length === 0;
}

function asEntry(entry: LayerEntry): Entry {
  return { ...entry, kind: "directory", inode: 0, links: 1, locality: 0 };
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(orMissing)) !== undefined;
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
