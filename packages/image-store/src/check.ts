import type { CallOptions, Digest } from "@lamella/refs";

import { checkBlobs } from "./check-blobs.js";
import { checkDisks } from "./check-disks.js";
import type { CheckedStore, Fault, FindingKind } from "./check-fault.js";
import { checkImages } from "./check-images.js";
import { checkIndex } from "./check-index.js";
import { checkLayers } from "./check-layers.js";
import { checkNames } from "./check-names.js";
import type { ContentStore } from "./content-store.js";

export interface CheckOptions extends CallOptions {
  /** Drops what is damaged, so that the next pull brings it, and makes anew what can be made of the rest. */
  repair?: boolean | undefined;
}

/** Something that is wrong with a store. */
export interface Finding {
  readonly kind: FindingKind;
  /** A digest, a name, or a file below the store. */
  readonly subject: string;
  readonly problem: string;
  /** What was done about it; undefined without `repair`. */
  readonly repair: string | undefined;
}

/** Blobs come first: what is dropped there makes images incomplete and names broken. */
const CHECKS: readonly ((store: CheckedStore, options: CallOptions) => AsyncIterable<Fault>)[] = [
  checkBlobs,
  checkImages,
  checkNames,
  checkLayers,
  checkDisks,
  checkIndex,
];

/** Compares all that a store has with all that it says of it. */
export async function* checkStore(
  store: Omit<CheckedStore, "known">,
  { repair = false, signal }: CheckOptions = {},
): AsyncGenerator<Finding> {
  signal?.throwIfAborted();
  const checked = { ...store, known: rememberingSizes(store.content) };
  for (const check of CHECKS) {
    for await (const fault of check(checked, { signal })) yield await findingOf(fault, repair);
  }
}

export async function findingOf({ kind, subject, problem, repair }: Fault, mend: boolean): Promise<Finding> {
  return { kind, subject, problem, repair: mend ? await repair() : undefined };
}

/** Images share most of their layers. */
function rememberingSizes(content: ContentStore): ContentStore {
  const sizes = new Map<Digest, number>();
  return {
    ...content,
    async stat(digest, options) {
      const size = sizes.get(digest) ?? (await content.stat(digest, options));
      if (size !== undefined) sizes.set(digest, size);
      return size;
    },
  };
}
