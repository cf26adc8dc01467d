import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createAncestry } from "../ancestry.js";
import { alignUp } from "../byte-layout.js";
import { ALIGNMENT, ARCHIVE_ALIGNMENT, NAME_MAX, NUMBER_MAX, TRAILER_NAME } from "./layout.js";
import { clampTime, headLength, recordLength, trailer, writeMember } from "./member.js";
import type { CpioMember } from "./member.js";
import type { DiskPlan } from "../disk-plan.js";
import { shownPath } from "../entry-path.js";
import { DiskExportError } from "../errors.js";
import { isDevice } from "../file-mode.js";
import { createLossCollector } from "../losses.js";
import type { LossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";
import { createSegmentList } from "../segment-list.js";

export type CpioOptions = CallOptions;

/**
 * Plans a cpio archive in the newc format, as Linux takes it for an initramfs: directories first, then the rest in the order in which
 * reading it is sequential. Names are relative and the root is `.`. The names of a hard-linked file share an inode number, and
 * the last of them has the data. Holes of sparse files take room and read as zeros.
 *
 * Losses that a plan can note: xattrs, nanoseconds of mtime, mtime outside 1970 to 2106 (which becomes the nearer end).
 *
 * @throws {DiskExportError} `unsupported` for a file of 4 GiB or more, a path or a link target over 4095 bytes, a device number over
 *   32 bits, a path `TRAILER!!!`; `tree_invalid`
 */
export async function planCpio(tree: FileTree, options: CpioOptions = {}): Promise<DiskPlan> {
  options.signal?.throwIfAborted();
  const losses = createLossCollector();
  const members = inArchiveOrder(await readMembers(tree, losses, options));
  leaveDataToLastName(members);

  const list = createSegmentList(writeMember);
  let offset = 0;
  for (const member of members) {
    list.addRecord(offset, recordLength(member), member);
    const dataStart = offset + headLength(member);
    if (member.entry.kind === "file") list.addData(dataStart, member.entry, 0, member.size);
    offset = alignUp(dataStart + member.size, ALIGNMENT);
  }
  const end = trailer();
  list.addBytes(offset, end.length, () => end);
  const sizeBytes = alignUp(offset + end.length, ARCHIVE_ALIGNMENT);
  return createDiskPlan({ format: "cpio", sizeBytes, segments: list.finish(), losses: losses.list(), tree });
}

async function readMembers(tree: FileTree, losses: LossCollector, { signal }: CallOptions): Promise<CpioMember[]> {
  const members: CpioMember[] = [];
  const ancestry = createAncestry<CpioMember>();
  for await (const entry of tree.entries({ signal })) {
    const parent = ancestry.parentOf(entry);
    requireSupported(entry);
    noteLosses(entry, losses);
    const member = {
      entry,
      inode: entry.inode + 1,
      links: entry.kind === "directory" ? 2 : entry.links,
      size: entry.kind === "file" ? entry.size : entry.linkTarget.length,
    };
    members.push(member);
    if (entry.kind !== "directory") continue;
    ancestry.enter(entry, member);
    if (parent !== undefined) parent.links += 1;
  }
  signal?.throwIfAborted();
  return members;
}

function inArchiveOrder(members: readonly CpioMember[]): CpioMember[] {
  const others = members.filter(({ entry }) => entry.kind !== "directory");
  others.sort((one, other) => one.entry.locality - other.entry.locality);
  return [...members.filter(({ entry }) => entry.kind === "directory"), ...others];
}

/** A link's target stays with every name: unlike a file's data, extractors do not look for it elsewhere. */
function leaveDataToLastName(members: readonly CpioMember[]): void {
  const lastNames = new Map<number, CpioMember>();
  for (const member of members) {
    if (member.entry.kind !== "file" || member.links === 1) continue;
    const previous = lastNames.get(member.inode);
    if (previous !== undefined) previous.size = 0;
    lastNames.set(member.inode, member);
  }
}

function requireSupported(entry: Entry): void {
  const { path, kind, size, linkTarget, deviceMajor, deviceMinor } = entry;
  if (path === TRAILER_NAME) throw unsupported(entry, "its name is the mark of the archive's end");
  if (path.length > NAME_MAX) throw unsupported(entry, `its path has ${path.length} bytes, the limit is ${NAME_MAX}`);
  if (kind === "file" && size > NUMBER_MAX)
    throw unsupported(entry, `it has ${size} bytes, the limit is ${NUMBER_MAX}`);
  if (kind === "symlink" && (linkTarget.length === 0 || linkTarget.length > NAME_MAX)) {
    throw unsupported(entry, `its target has ${linkTarget.length} bytes, the limits are 1 and ${NAME_MAX}`);
  }
  if (isDevice(entry) && Math.max(deviceMajor, deviceMinor) > NUMBER_MAX) {
    throw unsupported(entry, `its device is ${deviceMajor}:${deviceMinor}, the limit is ${NUMBER_MAX} each`);
  }
}

function noteLosses(entry: Entry, losses: LossCollector): void {
  if (entry.xattrs.size > 0) losses.add("xattrs", entry.path);
  if (clampTime(entry.mtimeSeconds) !== entry.mtimeSeconds) losses.add("mtime outside 1970 to 2106", entry.path);
  else if (entry.mtimeNanoseconds !== 0) losses.add("nanoseconds of mtime", entry.path);
}

function unsupported(entry: Entry, why: string): DiskExportError {
  return new DiskExportError("unsupported", `cannot hold ${shownPath(entry)} in cpio: ${why}`);
}
