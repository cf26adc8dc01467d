import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { requireTool } from "@lamella/oracles";

/** A file system that can be filled. */
export interface SmallFileSystem extends Disposable {
  readonly path: string;
  /** Leaves so many bytes of room to whoever may use all of it. */
  fillBytes(left: number): void;
  /** Leaves so many inodes. */
  fillInodes(left: number): void;
  /** Frees what it was filled with. */
  empty(): void;
}

export interface SmallFileSystemOptions {
  readonly type: "tmpfs" | "ext4";
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** Mounts a small file system; needs root. */
export function mountSmall({ type, sizeBytes, inodes }: SmallFileSystemOptions): SmallFileSystem {
  const directory = mkdtempSync(join(tmpdir(), "lamella-small-"));
  const path = join(directory, "mount");
  mkdirSync(path);
  try {
    if (type === "tmpfs") {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},nr_inodes=${inodes}`, "lamella", path]);
    } else {
      const image = join(directory, "image");
      writeFileSync(image, "");
      truncateSync(image, sizeBytes);
      // no room is kept for root, who these tests run as
      execFileSync(requireTool("mkfs.ext4"), ["-q", "-F", "-m", "0", "-N", `${inodes}`, image]);
      execFileSync("mount", ["-o", "loop", image, path]);
    }
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
  const filler = join(path, "filler");
  return {
    path,
    fillBytes(left) {
      const { bavail, bsize } = statfsSync(path);
      const bytes = bavail * bsize - left;
      if (bytes > 0) writeFileSync(filler, Buffer.alloc(bytes, 1));
    },
    fillInodes(left) {
      mkdirSync(filler);
      for (let at = statfsSync(path).ffree; at > left; at--) writeFileSync(join(filler, `${at}`), "");
    },
    empty: () => rmSync(filler, { recursive: true, force: true }),
    [Symbol.dispose]() {
      execFileSync("umount", [path]);
      rmSync(directory, { recursive: true });
    },
  };
}
