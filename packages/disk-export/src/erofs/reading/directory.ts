import { bytesToByteString } from "@lamella/layer-format";

import { readWide, viewOf } from "../../reading/metadata.js";
import type { DiskName } from "../../reading/tree.js";
import { DIRENT, DIRENT_BYTES } from "../layout.js";

/** The names in a block of a directory, without `.` and `..`; undefined where it is damaged. */
export function readDirents(block: Uint8Array): DiskName[] | undefined {
  if (block.length < DIRENT_BYTES) return undefined;
  const view = viewOf(block);
  const namesStart = view.getUint16(DIRENT.nameOffset, true);
  if (namesStart < DIRENT_BYTES || namesStart % DIRENT_BYTES !== 0 || namesStart > block.length) return undefined;
  const names: DiskName[] = [];
  let end = namesStart;
  for (let at = 0; at < namesStart; at += DIRENT_BYTES) {
    const start = view.getUint16(at + DIRENT.nameOffset, true);
    const isLast = at + DIRENT_BYTES === namesStart;
    if (start !== end) return undefined;
    end = isLast ? lastNameEnd(block, start) : view.getUint16(at + DIRENT_BYTES + DIRENT.nameOffset, true);
    if (end < start || end > block.length) return undefined;
    const name = bytesToByteString(block.subarray(start, end));
    if (name !== "." && name !== "..") names.push({ name, inode: readWide(view, at + DIRENT.nid) });
  }
  return names;
}

/** Zeros follow it, or the end of the block. */
function lastNameEnd(block: Uint8Array, start: number): number {
  const zero = block.indexOf(0, start);
  return zero === -1 ? block.length : zero;
}
