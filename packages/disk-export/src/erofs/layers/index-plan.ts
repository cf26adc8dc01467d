import { mergeLayers } from "@lamella/layer-format";
import type { Layer } from "@lamella/layer-format";

import { SMALL_BLOCK_BYTES } from "../layout.js";
import { planReferences } from "./reference-plan.js";
import type { ErofsReferenceOptions } from "./reference-plan.js";
import type { DiskPlan } from "../../disk-plan.js";
import { DiskExportError } from "../../errors.js";
import { shownPath } from "../../entry-path.js";

/** A layer whose contents are its uncompressed tar, as `openTarLayer` of `@lamella/layer-format/node` gives it. */
export interface TarContents extends Layer {
  readonly sizeBytes: number;
}

/**
 * Plans an EROFS disk that is an index over the tars of an image's layers, the lowest first: the merged tree's metadata, a small part of the whole, while the
 * files' data is read from the tars, which are further devices of the mount. Blocks have 512 bytes, as tars have: Linux 6.4 and later.
 *
 * Sparse files have their data in the disk itself: in a tar it is without the holes. The layers are borrowed; close them after the
 * last read.
 *
 * @throws {DiskExportError} `unsupported` (more than 1024 layers, 2 TiB in all, a kernel that cannot read it), `option_invalid`, `tree_invalid`
 * @throws {LayerFormatError} what {@link mergeLayers} throws
 */
export async function planErofsIndex(
  layers: readonly TarContents[],
  options: ErofsReferenceOptions = {},
): Promise<DiskPlan> {
  const { signal } = options;
  const tree = await mergeLayers(layers, { signal });
  return planReferences(
    {
      tree,
      blockBytes: SMALL_BLOCK_BYTES,
      devices: layers.map(({ sizeBytes, readContents }) => ({ sizeBytes, read: readContents })),
      locate(entry) {
        const origin = tree.origin(entry);
        if (origin === undefined || entry.extents !== undefined) return undefined;
        const { contentOffset } = origin.entry;
        if (contentOffset % SMALL_BLOCK_BYTES === 0) return { device: origin.layer, offset: contentOffset };
        const why = `its data begins at ${contentOffset}, where no tar has any`;
        throw new DiskExportError("tree_invalid", `cannot refer to ${shownPath(entry)}: ${why}`);
      },
    },
    options,
  );
}
