import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "@lamella/fixtures";
import type { CallOptions } from "./command.js";
import type { Difference } from "./compare-trees.js";
import { readDiffIds } from "./layout-image.js";
import type { LayoutImage } from "./layout-image.js";
import { mountLayers, unpackWithContainerd } from "./unpack-containerd.js";
import { unpackWithUmoci } from "./unpack-umoci.js";

/** Raised when the way of unpacking changes: trees in the cache that were made otherwise are then not used. */
const CACHE_VERSION = "1";

/** The programs that can say what an image's root file system looks like. */
export type Unpacker = "umoci" | "containerd";

export interface UnpackedTreeOptions extends LayoutImage, CallOptions {
  by: Unpacker;
}

/**
 * Hands the root file system of an image, as `by` unpacks it, to `use` and gives back its result. The directory must not be
 * changed. Needs root.
 *
 * Trees are kept in the fixtures' cache by the image's diffIDs: unpacked once, and the same for every compression of one image.
 */
export async function withUnpackedTree<T>(
  options: UnpackedTreeOptions,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  options.signal?.throwIfAborted();
  const diffIds = await readDiffIds(options);
  const key = createHash("sha256")
    .update(JSON.stringify([CACHE_VERSION, options.by, diffIds]))
    .digest("hex")
    .slice(0, 32);
  const shelf = join(cacheDirectory(), "unpacked");
  const directory = join(shelf, `${options.by}-${key}`);
  if (!(await exists(directory))) await make({ ...options, shelf, directory });
  if (options.by === "umoci") return use(directory);
  return mountLayers({ directory, count: diffIds.length, signal: options.signal }, use);
}

/** Whichever process is first puts its tree in place; another's is thrown away. */
async function make(options: UnpackedTreeOptions & { shelf: string; directory: string }): Promise<void> {
  await mkdir(options.shelf, { recursive: true });
  const work = await mkdtemp(join(options.shelf, ".making-"));
  try {
    const target = join(work, "tree");
    const unpack = options.by === "umoci" ? unpackWithUmoci : unpackWithContainerd;
    await unpack({ layout: options.layout, tag: options.tag, target }, { signal: options.signal });
    await rename(target, options.directory).catch(async (error: NodeJS.ErrnoException) => {
      if ((await readdir(options.directory).catch(() => [])).length === 0) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Rules for `compareTrees` with a tree by umoci as the expected one: what umoci gets wrong where we are right.
 * A comparison with a tree by containerd, under `containerdDifferences`, covers what these leave out.
 */
export const umociDifferences: readonly ((difference: Difference) => boolean)[] = [umociDropsEmptyXattr];

/** The same with a tree by containerd as the expected one. */
export const containerdDifferences: readonly ((difference: Difference) => boolean)[] = [
  containerdClampsTime,
  rootTimeOfUnpacking,
];

/** umoci 0.4.7 reads attributes through a Go field that leaves out empty values. */
export function umociDropsEmptyXattr({ field, expected, actual }: Difference): boolean {
  return field.startsWith("xattr:") && expected === undefined && actual === "";
}

/** containerd sets times before 1970 to 1970. */
export function containerdClampsTime({ field, expected, actual }: Difference): boolean {
  return field === "mtime" && expected === "0" && actual?.startsWith("-") === true;
}

/** No layer has an entry for the root: containerd leaves it at the time of unpacking, umoci at 1970. */
export function rootTimeOfUnpacking({ path, field, actual }: Difference): boolean {
  return path === "" && field === "mtime" && actual === "0";
}
