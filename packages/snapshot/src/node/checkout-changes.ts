import { type TarInput, writeTar } from "@lamella/layer-format";
import { openDirectoryTree } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import { diffTrees } from "../diff/diff-trees.js";
import type { CheckoutSource } from "./checkout-mount.js";
import { readRecord } from "./checkout-record.js";
import { openCheckout } from "./checkout-scan.js";
import type { CheckoutTarget } from "./checkout-state.js";
import { createCheckoutTree, type Owner } from "./checkout-tree.js";
import { addArchive, listArchives, openArchiveTree } from "./tree-driver-archives.js";

export interface FilledCheckout {
  readonly source: CheckoutSource;
  readonly target: CheckoutTarget;
  /** The file of its record. */
  readonly record: string;
}

/** Makes what was changed in a checkout a further archive of the snapshot; where nothing was, there is none. Saving again does nothing. */
export async function saveCheckout(
  { source, target, record }: FilledCheckout,
  { owner, signal }: CallOptions & { owner: Owner },
): Promise<void> {
  const { parents, directory } = source;
  if ((await listArchives(directory)).length > target.archives) return;
  await using view = await openArchiveTree([...parents, directory], { signal });
  const before = await readRecord(record, { signal });
  const opened = await openCheckout(target.path, { signal });
  try {
    await using disk = await openDirectoryTree(target.path, { xattrs: true, signal });
    const { scan } = opened;
    const isRoot = process.geteuid?.() === 0;
    const found = { view, disk, scan, record: before, owner: isRoot ? undefined : owner };
    await using upper = await createCheckoutTree(found, { signal });
    const changes = await startChanges(diffTrees(view, upper, { content: "always", signal }));
    if (changes !== undefined) await addArchive(source, writeTar(changes, { signal }), { signal });
  } finally {
    await opened.close();
  }
}

/** Undefined where there are none. */
async function startChanges(entries: AsyncGenerator<TarInput>): Promise<AsyncGenerator<TarInput> | undefined> {
  const first = await entries.next();
  if (first.done === true) return undefined;
  return (async function* () {
    try {
      yield first.value;
      yield* entries;
    } finally {
      await entries.return(undefined);
    }
  })();
}
