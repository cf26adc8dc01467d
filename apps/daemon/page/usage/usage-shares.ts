import type { Usage } from "../api/types.js";

/** A part of what the store takes. */
export interface Share {
  readonly kind: "shared" | "unique" | "other" | "layers" | "disks";
  readonly label: string;
  readonly hint: string;
  readonly bytes: number;
}

/** What the store takes, in parts that do not overlap. */
export function sharesOf(usage: Usage): Share[] {
  const unique = usage.images.reduce((sum, image) => sum + image.unique_bytes, 0);
  const share = (kind: Share["kind"], label: string, hint: string, bytes: number): Share => ({
    kind,
    label,
    hint,
    bytes: Math.max(0, bytes),
  });
  return [
    share("shared", "Shared blobs", "of two images or more", usage.image_bytes - unique),
    share("unique", "Unique blobs", "of one image only", unique),
    share("other", "Other blobs", "indexes, uploads, what no image has", usage.blob_bytes - usage.image_bytes),
    share("layers", "Layer archives", "can be made again", usage.layer_bytes),
    share("disks", "Disks", "can be made again", usage.disk_bytes),
  ];
}

/** Where each share lies on a line of length 1. */
export function spansOf(shares: readonly Share[]): (Share & { readonly start: number; readonly length: number })[] {
  const total = totalOf(shares);
  let start = 0;
  return shares.map((share) => {
    const length = total === 0 ? 0 : share.bytes / total;
    const span = { ...share, start, length };
    start += length;
    return span;
  });
}

export function totalOf(shares: readonly Share[]): number {
  return shares.reduce((sum, { bytes }) => sum + bytes, 0);
}
