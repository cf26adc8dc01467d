import type { BlobRange } from "@lamella/refs";

/*
 * A cache is a directory of blobs, a blob a directory of extents:
 *
 *     <algorithm>-<hex>/<offset>-<length>     these bytes of the blob, as the registry has them
 *                       pin-<random>          the blob is in use: it counts while it is touched
 *                       new-<random>          an extent that is being written
 *
 * A file appears under its name when it is whole. That its bytes are right is found out by whoever unpacks them.
 */

export const PIN_PREFIX = "pin-";
export const NEW_PREFIX = "new-";

const EXTENT = /^(0|[1-9]\d{0,14})-([1-9]\d{0,9})$/;

export function extentName({ offset, length }: BlobRange): string {
  return `${offset}-${length}`;
}

/** Undefined for the name of anything else. */
export function parseExtentName(name: string): BlobRange | undefined {
  const match = EXTENT.exec(name);
  return match === null ? undefined : { offset: Number(match[1]), length: Number(match[2]) };
}
