import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";

/** What the kernel shall mount. */
export interface MountSource extends CallOptions {
  /** A disk image, or whatever the type takes for a device. */
  image: string;
  /** A file system type that the kernel knows. */
  format: string;
  /** More options for mount(8); `ro,loop,nosuid,noexec` are there already. */
  options?: readonly string[];
}

/**
 * Mounts a disk image read-only through a loop device, hands the mount point to `use` and gives back its result.
 *
 * It is unmounted whatever happens, the loop device freed with it. Needs root. A mount that the kernel refuses throws
 * `tool_failed`.
 */
export async function mountImage<T>(source: MountSource, use: (mountPoint: string) => Promise<T>): Promise<T> {
  return withMount(
    {
      parameters: [
        "-t",
        source.format,
        "-o",
        ["ro", "loop", "nosuid", "noexec", ...(source.options ?? [])].join(","),
        source.image,
      ],
      signal: source.signal,
    },
    use,
  );
}

export interface MountRequest extends CallOptions {
  /** Everything for mount(8) but the mount point. */
  parameters: readonly string[];
  /** Where relative paths among the parameters start. */
  cwd?: string;
}

/** Mounts on a directory of its own for as long as `use` runs. */
export async function withMount<T>(request: MountRequest, use: (mountPoint: string) => Promise<T>): Promise<T> {
  request.signal?.throwIfAborted();
  const mountPoint = await mkdtemp(join(tmpdir(), "lamella-mount-"));
  try {
    // mount(8) is not interrupted: killed at the wrong moment it would leave a mount that nobody knows of
    await runCommand("mount", [...request.parameters, mountPoint], {
      accept: [0],
      ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    });
    try {
      request.signal?.throwIfAborted();
      return await use(mountPoint);
    } finally {
      await unmount(mountPoint);
    }
  } finally {
    await rmdir(mountPoint);
  }
}

/** A listing that was broken off may hold the mount for a moment; after that it is detached, and goes when it is let go. */
async function unmount(mountPoint: string): Promise<void> {
  const { exitCode } = await runCommand("umount", [mountPoint]);
  if (exitCode !== 0) await runCommand("umount", ["--lazy", mountPoint], { accept: [0] });
}
