import type { CallOptions, Digest } from "@lamella/refs";

import type { Attributes, Content, FileKind } from "./file-tree.js";

/**
 * What a layer can say of a path. Besides the kinds of a finished tree: `hardlink` (its `linkTarget` names another path of
 * the image), `whiteout` (the path is gone from the layers below) and `opaque` (the directory's contents below are gone).
 */
export type LayerEntryKind = FileKind | "hardlink" | "whiteout" | "opaque";

/**
 * One entry of a layer, as its tar has it, in the tar's order.
 *
 * `path` is clean (clamped at the root, no `.` or `..`) but not resolved: a parent may be a symlink of this or a lower layer.
 * For `whiteout` it is the path that is removed, for `opaque` the directory.
 */
export interface LayerEntry extends Attributes, Content {
  readonly path: string;
  readonly kind: LayerEntryKind;
  /** Where a file's data begins in the layer's contents; its extents follow each other there without the holes. */
  readonly contentOffset: number;
}

/** A layer that can be read at random: an index in memory, contents wherever they are. */
export interface Layer extends AsyncDisposable {
  /** The digest of the uncompressed tar. */
  readonly diffID: Digest;
  readonly entries: readonly LayerEntry[];
  /** Bytes of the contents. Chunks are valid only until the next is asked for. */
  readContents(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** The same bytes where they are in memory; undefined where they are not. Copy them at once: any other read may overwrite them. */
  readContentsNow?(offset: number, length: number): Uint8Array | undefined;
}
