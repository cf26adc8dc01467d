import type { CallOptions } from "@lamella/refs";

import type { Entry, FileTree } from "./file-tree.js";

/** A path of one of two trees, or of both. */
export interface TreePair {
  readonly path: string;
  /** At least one of the two is there. */
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

/** Walks two trees side by side, each path of either once, in the order of both. Nothing is held but one entry of each. */
export async function* walkTrees(
  before: FileTree,
  after: FileTree,
  options: CallOptions = {},
): AsyncGenerator<TreePair> {
  options.signal?.throwIfAborted();
  const left = before.entries(options)[Symbol.asyncIterator]();
  const right = after.entries(options)[Symbol.asyncIterator]();
  try {
    let old = await nextEntry(left);
    let now = await nextEntry(right);
    while (old !== undefined || now !== undefined) {
      const order = old === undefined ? 1 : now === undefined ? -1 : compareWalk(old.path, now.path);
      const pair = { before: order <= 0 ? old : undefined, after: order >= 0 ? now : undefined };
      yield { path: (order <= 0 ? old : now)?.path ?? "", ...pair };
      if (order <= 0) old = await nextEntry(left);
      if (order >= 0) now = await nextEntry(right);
    }
  } finally {
    await left.return?.();
    await right.return?.();
  }
}

async function nextEntry(entries: AsyncIterator<Entry>): Promise<Entry | undefined> {
  const { done, value } = await entries.next();
  return done === true ? undefined : value;
}

/** A directory comes before what is in it, and all of that before what follows the directory. */
function compareWalk(left: string, right: string): number {
  if (left === right) return 0;
  return left.replaceAll("/", "\0") < right.replaceAll("/", "\0") ? -1 : 1;
}
