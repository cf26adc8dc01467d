import { MERGE_LIMITS, mergeLayers, overlayTree, overlayTrees } from "@lamella/layer-format";
import type { Layer, LayerEntry, OverlayTree, OverlayTreeOptions, OverlayXattrs } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { layerBelowMarkers } from "./layer-markers.js";
import { planErofs } from "../plan.js";
import type { ErofsOptions } from "../plan.js";
import type { DiskPlan } from "../../disk-plan.js";
import { DiskExportError } from "../../errors.js";
import { createLossCollector } from "../../losses.js";
import type { LossCollector } from "../../losses.js";

/** Room for the name of a file that is laid below a marker. */
const NAME_BELOW_BYTES = 256;

export interface ErofsLayerOptions extends ErofsOptions {
  /**
   * The xattrs in which an overlay is told that a directory is opaque; `trusted` by default. A mount with `userxattr`, which needs no root, reads `user`.
   * With `both` the image is right for either, which then shows the other's mark as an xattr of the directory.
   */
  overlayXattrs?: OverlayXattrs;
}

/** The disk of a layer. */
export interface ErofsLayerPlan extends DiskPlan {
  /**
   * Where on the disk the data of a file begins that this layer has brought, if it lies there in one run of whole blocks, as it does in an uncompressed
   * disk with `wholeBlocks`; undefined if not, and for a file without data.
   */
  dataOffset(file: LayerEntry): number | undefined;
}

/**
 * Plans an EROFS disk for each layer of an image, the lowest first. Mounted, and laid on each other by overlayfs (`lowerdir=` takes the highest first),
 * they show the tree that {@link mergeLayers} makes.
 *
 * A disk holds what its layer changes. What a layer alone does not say comes from those below: the attributes of directories that it has not described, the data
 * of a file that it links to, the place that a symlink leads to. A whiteout is a character device 0:0, an opaque directory an xattr. Of an inode that
 * has new names, or attributes, it has all names. Only link counts may be above the tree's: overlayfs counts names that a higher layer hides.
 *
 * Two things have no place in an overlay: a device 0:0 of an image would be a whiteout and is left out; xattrs `trusted.overlay.*`
 * (or `user.overlay.*`, see {@link ErofsLayerOptions.overlayXattrs}) are escaped, so that they never steer ours: Linux 6.7 and later show them under
 * their own names, earlier ones hide them. Both are losses.
 *
 * The layers are borrowed: close them after the last read of a plan. Plans come one at a time, so that no more than two of the
 * trees are in memory; each is the caller's to dispose of. Of the options, `uuid` fits only an image of one layer.
 *
 * @throws {DiskExportError} what {@link planErofs} throws; `option_invalid` for xattrs of another name
 * @throws {LayerFormatError} what {@link mergeLayers} throws
 */
export async function* planErofsLayers(
  layers: readonly Layer[],
  options: ErofsLayerOptions = {},
): AsyncGenerator<ErofsLayerPlan> {
  requireNamespaces(options);
  // What is lost is told before the tree is there that loses it.
  let losses = createLossCollector();
  const overlay = overlayOptions(options, (what, path) => losses.add(what, path));
  let layer = 0;
  for await (const tree of overlayTrees(layers, overlay)) {
    const found = losses;
    losses = createLossCollector();
    yield planLayer({ tree, layer, losses: found }, options);
    layer += 1;
  }
}

/**
 * Plans the EROFS disk of a layer, knowing nothing of those below: the same disk in whatever image the layer is.
 *
 * As {@link planErofsLayers}, but a directory that the layer has not described is 0755, root's and of time 0, and covers what a layer below may say of it; and what
 * leads into layers below cannot be followed: a symlink there stays unknown, and a hard link to a file there is refused (`layer_invalid`). The image's tree
 * is not sure to come out: use it where layers are known to be whole.
 *
 * @throws {DiskExportError} what {@link planErofs} throws; `option_invalid` for xattrs of another name; `unsupported` where the layer makes the root opaque
 * @throws {LayerFormatError} what {@link mergeLayers} throws
 */
export async function planErofsLayer(layer: Layer, options: ErofsLayerOptions = {}): Promise<ErofsLayerPlan> {
  requireNamespaces(options);
  const { signal } = options;
  const own = await mergeLayers([layer], { signal });
  const below = await layerBelowMarkers(layer, own, { signal });
  const limits = { pathBytes: MERGE_LIMITS.pathBytes + NAME_BELOW_BYTES };
  const losses = createLossCollector();
  const overlay = overlayOptions(options, (what, path) => losses.add(what, path));
  const tree = await overlayTree([below], layer, { ...overlay, limits });
  return planLayer({ tree, layer: 1, losses }, options);
}

function overlayOptions(
  { overlayXattrs = "trusted", signal }: ErofsLayerOptions,
  onLoss: LossCollector["add"],
): OverlayTreeOptions {
  return { xattrs: overlayXattrs, onLoss, signal };
}

interface PlannedLayer {
  readonly tree: OverlayTree;
  /** Its number in what the layers make. */
  readonly layer: number;
  readonly losses: LossCollector;
}

async function planLayer({ tree, layer, losses }: PlannedLayer, options: ErofsLayerOptions): Promise<ErofsLayerPlan> {
  const plan = await planErofs(tree, options);
  const dataOffsets = options.wholeBlocks === true ? findData(plan, tree, layer) : undefined;
  return {
    ...plan,
    losses: [...losses.list(), ...plan.losses],
    dataOffset: (file) => dataOffsets?.get(file),
  };
}

function findData({ segments }: DiskPlan, tree: OverlayTree, layer: number): ReadonlyMap<LayerEntry, number> {
  const offsets = new Map<LayerEntry, number>();
  for (const segment of segments) {
    if (!("entry" in segment)) continue;
    const origin = tree.origin(segment.entry);
    if (origin?.layer === layer) offsets.set(origin.entry, segment.offset - segment.entryOffset);
  }
  return offsets;
}

function requireNamespaces({ overlayXattrs = "trusted", signal }: ErofsLayerOptions & CallOptions): void {
  signal?.throwIfAborted();
  if (["trusted", "user", "both"].includes(overlayXattrs)) return;
  const shown = JSON.stringify(overlayXattrs);
  throw new DiskExportError("option_invalid", `cannot use overlayXattrs ${shown}: not trusted, user or both`);
}
