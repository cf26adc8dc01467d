import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createAncestry } from "../ancestry.js";
import type { DiskIdentity } from "../disk-identity.js";
import { baseName, shownPath } from "../entry-path.js";
import { sealDirectory } from "./directory.js";
import type { ErofsDirectory, ErofsInode } from "./inode.js";
import { BLOCK_BYTES, DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, LINK_TARGET_MAX, NAME_MAX } from "./layout.js";
import type { XattrTable } from "./xattr.js";
import { DiskExportError } from "../errors.js";
import { isDevice } from "../file-mode.js";
import type { LossCollector } from "../losses.js";

export interface ErofsTreeOptions extends CallOptions {
  losses: LossCollector;
  identity: DiskIdentity;
  /** Gets the xattrs of every inode. */
  xattrs: XattrTable;
  /** Directories are cut into blocks of this size. */
  blockBytes?: number;
}

interface OpenDirectory {
  readonly inode: ErofsInode;
  readonly directory: ErofsDirectory;
  readonly parent: ErofsInode;
}

/**
 * The inodes of a tree, each once, in the order of their first names (the root first); none has a place yet.
 * @throws {DiskExportError} `unsupported`, `tree_invalid`
 */
export async function readErofsTree(
  tree: FileTree,
  { losses, identity, xattrs, blockBytes = BLOCK_BYTES, signal }: ErofsTreeOptions,
): Promise<ErofsInode[]> {
  const inodes: ErofsInode[] = [];
  const byNumber: ErofsInode[] = [];
  const directories: OpenDirectory[] = [];
  const ancestry = createAncestry<OpenDirectory>();

  for await (const entry of tree.entries({ signal })) {
    identity.add(entry);
    const parent = ancestry.parentOf(entry);
    let inode = byNumber[entry.inode];
    if (inode === undefined) {
      inode = newInode(entry);
      xattrs.add(entry, losses);
      byNumber[entry.inode] = inode;
      inodes.push(inode);
    }
    if (parent !== undefined) addName(parent, entry, inode);
    if (inode.directory !== undefined) {
      const opened = { inode, directory: inode.directory, parent: parent?.inode ?? inode };
      directories.push(opened);
      ancestry.enter(entry, opened);
    }
  }
  signal?.throwIfAborted();
  if (inodes.length === 0) throw new DiskExportError("tree_invalid", "cannot read a tree: it has no root");
  for (const inode of inodes) inode.xattrsLength = xattrs.lengthOf(inode.entry);
  for (const { inode, directory, parent } of directories) {
    inode.size = sealDirectory(directory, inode, { parent, blockBytes });
  }
  return inodes;
}

function newInode(entry: Entry): ErofsInode {
  requireSupported(entry);
  const directory = entry.kind === "directory" ? { names: [], inodes: [], blockStarts: [] } : undefined;
  return {
    entry,
    directory,
    links: directory === undefined ? entry.links : 2,
    size: entry.kind === "file" ? entry.size : entry.linkTarget.length,
    xattrsLength: 0,
    number: 0,
    position: 0,
    tailLength: 0,
    block: 0,
    compressed: undefined,
    external: undefined,
    shared: undefined,
  };
}

function addName({ inode: parent, directory }: OpenDirectory, entry: Entry, inode: ErofsInode): void {
  const name = baseName(entry.path);
  if (name.length > NAME_MAX) throw unsupported(entry, `its name has ${name.length} bytes, the limit is ${NAME_MAX}`);
  const previous = directory.names.at(-1);
  if (previous !== undefined && previous >= name) {
    throw new DiskExportError(
      "tree_invalid",
      `cannot place ${shownPath(entry)}: it came after a sibling that it sorts before`,
    );
  }
  directory.names.push(name);
  directory.inodes.push(inode);
  if (inode.directory !== undefined) parent.links += 1;
}

function requireSupported(entry: Entry): void {
  const { kind, linkTarget, deviceMajor, deviceMinor } = entry;
  if (kind === "symlink" && (linkTarget.length === 0 || linkTarget.length > LINK_TARGET_MAX)) {
    throw unsupported(entry, `its target has ${linkTarget.length} bytes, the limits are 1 and ${LINK_TARGET_MAX}`);
  }
  if (isDevice(entry) && (deviceMajor > DEVICE_MAJOR_MAX || deviceMinor > DEVICE_MINOR_MAX)) {
    throw unsupported(
      entry,
      `its device is ${deviceMajor}:${deviceMinor}, the limit is ${DEVICE_MAJOR_MAX}:${DEVICE_MINOR_MAX}`,
    );
  }
}

function unsupported(entry: Entry, why: string): DiskExportError {
  return new DiskExportError("unsupported", `cannot hold ${shownPath(entry)} in EROFS: ${why}`);
}
