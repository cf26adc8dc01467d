import { LayerFormatError, planTarEntry } from "@lamella/layer-format";
import type { Entry, FileTree, TarEntryInput, TarEntryPlan } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createAncestry } from "../ancestry.js";
import type { DiskPlan } from "../disk-plan.js";
import { DiskExportError } from "../errors.js";
import { createLossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";
import { createSegmentList } from "../segment-list.js";

/** A tar ends in two blocks of zeros. */
const END_BYTES = 1024;

export type TarOptions = CallOptions;

/**
 * Plans a tar of a whole tree, one without whiteouts: an image's layers made one. The same bytes as a layer of the tree has: ustar
 * headers, with PAX records for what does not fit them; later names of an inode are hard links to its first; sparse files as GNU tar has
 * them.
 *
 * The loss that a plan can note: sockets, which are left out.
 *
 * @throws {DiskExportError} `unsupported` for what no layer's tar can hold (a file named `.wh.x`, a device number over 262,143);
 *   `tree_invalid`
 */
export async function planTar(tree: FileTree, options: TarOptions = {}): Promise<DiskPlan> {
  const { signal } = options;
  signal?.throwIfAborted();
  const losses = createLossCollector();
  const firstNames = new Map<number, string>();
  const ancestry = createAncestry<undefined>();
  const list = createSegmentList<TarEntryInput>((input, target, at) => target.set(planned(input).encodeHead(), at));
  let offset = 0;
  for await (const entry of tree.entries({ signal })) {
    ancestry.parentOf(entry);
    if (entry.kind === "directory") ancestry.enter(entry, undefined);
    if (entry.kind === "socket") {
      losses.add("sockets", entry.path);
      continue;
    }
    const input = asTarEntry(entry, firstNames);
    const { headBytes, data, sizeBytes } = planned(input);
    list.addRecord(offset, headBytes, input);
    for (const run of data) list.addData(offset + run.offset, entry, run.fileOffset, run.length);
    offset += sizeBytes;
  }
  signal?.throwIfAborted();
  return createDiskPlan({
    format: "tar",
    sizeBytes: offset + END_BYTES,
    segments: list.finish(),
    losses: losses.list(),
    tree,
  });
}

function asTarEntry(entry: Entry, firstNames: Map<number, string>): TarEntryInput {
  if (entry.links === 1) return entry;
  const first = firstNames.get(entry.inode);
  if (first !== undefined) return { ...entry, kind: "hardlink", linkTarget: first, size: 0 };
  firstNames.set(entry.inode, entry.path);
  return entry;
}

function planned(input: TarEntryInput): TarEntryPlan {
  try {
    return planTarEntry(input);
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
    throw new DiskExportError("unsupported", error.message, { cause: error });
  }
}
