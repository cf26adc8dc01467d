import { mkdir, readdir } from "node:fs/promises";
import { resolve } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { FileTree } from "../../file-tree.js";
import { createLossCollector, type Loss } from "../../losses.js";
import { type Program, runProgram } from "../program.js";
import { emptyDirectory, removePath } from "./remove.js";
import { sealedEntries, tarEntries } from "./tar-entries.js";
import { extract } from "./tar-process.js";

/** Between two calls that tell of progress, if no file is larger. */
const PROGRESS_BYTES = 1 << 20;

export interface UnpackOptions extends CallOptions {
  /** Whether owners, devices and all extended attributes are set; by default where this process is root's. */
  asRoot?: boolean | undefined;
  /** Resolves only when everything is on disk: the directory's whole file system is synchronised. */
  durable?: boolean | undefined;
}

export interface UnpackTreeOptions extends UnpackOptions {
  /**
   * `fresh`: the directory is empty, or not there yet; if it cannot be filled, it is so again. `existing`: it may hold something, which a failure leaves half done. What
   * is in the way of an entry is replaced, but for a directory that is not empty; directories that are there keep their extended attributes.
   */
  into?: "fresh" | "existing" | undefined;
  /** Told now and then, and at the end, how many bytes of files are written, out of how many. */
  onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** What was written. */
export interface Unpacked {
  /** Names, the directory itself included. */
  readonly entries: number;
  /** Bytes of files, each counted once. */
  readonly bytes: number;
  readonly losses: readonly Loss[];
}

/**
 * Writes a tree into a directory: names, kinds, contents with their holes, hard links, owners, modes, times to the nanosecond, devices and extended
 * attributes. The directory itself gets the attributes of the tree's root.
 *
 * Losses: sockets and devices with a number over 262,143; extended attributes that the file system does not take; for an ordinary user, owners, devices but
 * 0:0, and extended attributes beyond `user.*` and access control lists.
 *
 * What is made inherits the default access control list of the directory, if it has one.
 *
 * It is done by GNU tar, fed by a pipe: `tar` of Debian's package of this name. Nothing is written outside of the directory, whatever the
 * tree says.
 *
 * @throws {LayerFormatError} `output_invalid` for a directory that is not empty; `tool_missing`; `unpack_failed` for what tar refuses, for names over 255 bytes and
 * paths over 4,095, and for a tree out of order; what reading the tree throws. Errors of the file system pass as they are.
 */
export async function unpackTree(
  tree: FileTree,
  directory: string,
  options: UnpackTreeOptions = {},
): Promise<Unpacked> {
  const { into = "fresh", signal } = options;
  signal?.throwIfAborted();
  const target = resolve(directory);
  const made = await mkdir(target, { recursive: true });
  if (into === "existing") return fill(tree, target, options);
  if ((await readdir(target)).length > 0)
    throw new LayerFormatError("output_invalid", `cannot unpack into ${JSON.stringify(target)}: it is not empty`);
  try {
    return await fill(tree, target, options);
  } catch (error) {
    const removed = made === undefined ? emptyDirectory(Buffer.from(target)) : removePath(Buffer.from(made));
    // What failed first is what the caller has to know.
    await removed.catch(() => undefined);
    throw error;
  }
}

async function fill(tree: FileTree, directory: string, options: UnpackTreeOptions): Promise<Unpacked> {
  const { asRoot = isRoot(), durable = false, onProgress, signal } = options;
  const totalBytes = onProgress === undefined ? 0 : await countBytes(tree, { signal });
  const losses = createLossCollector();
  let entries = 0;
  let bytes = 0;
  let told = 0;
  const onEntry = (fileBytes: number): void => {
    entries += 1;
    bytes += fileBytes;
    if (bytes - told < PROGRESS_BYTES) return;
    told = bytes;
    onProgress?.(bytes, totalBytes);
  };
  const sealed = sealedEntries(tree.entries({ signal }));
  const input = tarEntries(tree, sealed, { asRoot, losses, onEntry });
  await extract(input, { directory, asRoot, losses, signal });
  if (durable) await synchronize(directory, { signal });
  onProgress?.(bytes, totalBytes);
  return { entries, bytes, losses: losses.list() };
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function countBytes(tree: FileTree, options: CallOptions): Promise<number> {
  const sizes = new Map<number, number>();
  for await (const { kind, inode, size } of tree.entries(options)) if (kind === "file") sizes.set(inode, size);
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

const SYNC: Program = { name: "sync", package: "coreutils" };

/** Everything of the directory's file system is on disk when this resolves: one call instead of one for each file. */
export async function synchronize(directory: string, { signal }: CallOptions): Promise<void> {
  let words = "";
  const onComplaint = (line: string): void => void (words ||= line);
  const status = await runProgram(SYNC, { args: ["--file-system", "."], cwd: directory, onComplaint, signal });
  if (status === 0) return;
  const what = `cannot synchronise the file system of ${JSON.stringify(directory)}: ${displayPath(words)}`;
  throw new LayerFormatError("tool_failed", what);
}
