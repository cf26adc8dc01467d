import type { LayerEntry } from "./layer.js";
import { NO_XATTRS } from "./merge/inode.js";

/**
 * Has V8 keep the numbers of layers' entries in a way that fits any. Whoever makes entries by the ten thousand calls it once, and names their fields in this order.
 *
 * A field that has held nothing but integers under 2^31 is kept as such. The first that is larger, a time after 2038 or an offset beyond 2 GiB, changes what all entries are
 * taken for, and each that was made before is converted when it is read next: of 70,000 that takes as long as merging them, measured. A field that has also
 * held what is no number is kept so that nothing changes any more.
 */
export function prepareEntryShape(): void {
  for (const number of [null, 0]) shape(number as number);
}

function shape(number: number): LayerEntry {
  return {
    path: "",
    kind: "file",
    mode: 0,
    uid: number,
    gid: number,
    mtimeSeconds: number,
    mtimeNanoseconds: 0,
    xattrs: NO_XATTRS,
    size: number,
    linkTarget: "",
    deviceMajor: number,
    deviceMinor: number,
    contentOffset: number,
  };
}
