import { mergeLayers } from "@lamella/layer-format";
import type { Layer } from "@lamella/layer-format";

import type { ErofsLayerPlan } from "./layer-plan.js";
import { BLOCK_BYTES } from "../layout.js";
import { planReferences } from "./reference-plan.js";
import type { ErofsReferenceOptions } from "./reference-plan.js";
import type { DiskPlan } from "../../disk-plan.js";
import { DiskExportError } from "../../errors.js";
import { shownPath } from "../../entry-path.js";

/**
 * Plans an EROFS disk of the merged tree's metadata, whose files' data is read from the disks of the layers (`planErofsLayers` with `wholeBlocks`), which are further
 * devices of the mount: one mount instead of an overlay, while images that share layers share their disks. Linux 5.16 and later.
 *
 * @param layers the lowest first
 * @param disks the layers' disks in the same order, uncompressed
 * @throws {DiskExportError} `option_invalid` for disks that are not of these layers or not of whole blocks; `unsupported`, `tree_invalid`
 * @throws {LayerFormatError} what {@link mergeLayers} throws
 */
export async function planErofsMerge(
  layers: readonly Layer[],
  disks: readonly ErofsLayerPlan[],
  options: ErofsReferenceOptions = {},
): Promise<DiskPlan> {
  const { signal } = options;
  signal?.throwIfAborted();
  if (disks.length !== layers.length) {
    throw new DiskExportError(
      "option_invalid",
      `cannot merge ${disks.length} disks: there are ${layers.length} layers`,
    );
  }
  const tree = await mergeLayers(layers, { signal });
  return planReferences(
    {
      tree,
      blockBytes: BLOCK_BYTES,
      devices: disks,
      locate(entry) {
        const origin = tree.origin(entry)!;
        const offset = disks[origin.layer]!.dataOffset(origin.entry);
        if (offset !== undefined) return { device: origin.layer, offset };
        // A file of nothing but a hole has no data anywhere.
        if (entry.extents?.length === 0) return undefined;
        const why = `disk ${origin.layer} does not have its data in whole blocks`;
        throw new DiskExportError("option_invalid", `cannot refer to ${shownPath(entry)}: ${why}`);
      },
    },
    options,
  );
}
