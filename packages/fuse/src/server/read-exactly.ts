import { displayPath, type Entry, type FileTree } from "@lamella/layer-format";

import { FuseError } from "../errors.js";

export interface ReadRange {
  readonly offset: number;
  readonly length: number;
  readonly signal: AbortSignal;
}

/**
 * Gives `use` the bytes of a range, all of them at once; they are valid while it runs. A tree that gives them in one piece has them taken as they are.
 *
 * @throws {FuseError} `read_failed` where the tree gives another number of bytes
 * @throws what the tree throws
 */
export async function readExactly(
  [tree, entry]: readonly [FileTree, Entry],
  { offset, length, signal }: ReadRange,
  use: (bytes: Uint8Array) => void,
): Promise<void> {
  const atHand = tree.readNow?.(entry, offset, length);
  if (atHand?.length === length) {
    use(atHand);
    return;
  }
  let gathered: Buffer | undefined;
  let filled = 0;
  for await (const chunk of tree.read(entry, { offset, length, signal })) {
    signal.throwIfAborted();
    if (filled + chunk.length > length) throw wrongLength(entry, length);
    if (chunk.length === length) {
      use(chunk);
      return;
    }
    gathered ??= Buffer.allocUnsafe(length);
    gathered.set(chunk, filled);
    filled += chunk.length;
    if (filled === length) {
      use(gathered);
      return;
    }
  }
  throw wrongLength(entry, length);
}

function wrongLength({ path }: Entry, length: number): FuseError {
  return new FuseError(
    "read_failed",
    `cannot read "${displayPath(path)}": its tree does not give the ${length} bytes asked for`,
  );
}
