import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import { withContainerd } from "./containerd.js";
import { withDaemon } from "./daemon.js";
import { OracleError } from "./errors.js";
import { compiledGoProgram, GO_LIBRARIES } from "./go-program.js";
import { withMount } from "./mount.js";

const PROGRAM = fileURLToPath(new URL("../serve-stargz.go", import.meta.url));
const SNAPSHOTTER = "stargz";
/** A mount point to find in what `ctr` prints. */
const NOWHERE = "/nowhere";

/** What `withLazyImage` needs, for `missing`. */
export const lazyImageNeeds: readonly string[] = [
  "root",
  "containerd",
  "ctr-remote",
  "go",
  "mount",
  "/dev/fuse",
  `${GO_LIBRARIES}/src/github.com/containerd/stargz-snapshotter/fs/fs.go`,
];

export interface LazyImageOptions extends CallOptions {
  reference: string;
  /** Told when the daemons are up and the pull begins: what comes before is no part of a measure. */
  onReady?: () => void;
}

/** An image as the stargz snapshotter shows it. */
export interface LazyImage {
  /** The root file system, mounted read-only. */
  readonly directory: string;
  /** How many layers are file systems of FUSE; the others were pulled and unpacked. */
  readonly lazyLayers: number;
  /** Why it did not take the others, in its words. */
  readonly refusals: readonly string[];
}

/**
 * Pulls an eStargz image with `ctr-remote images rpull` into a containerd with the stargz snapshotter, which mounts each layer by
 * FUSE if its table of contents is the one that the manifest vouches for, and hands it to `use` before any file has been read.
 * Layers are fetched from the registry as files are, and not before; one on loopback is asked over plain HTTP.
 *
 * Everything is unmounted and removed at the end. Needs `lazyImageNeeds`.
 */
export async function withLazyImage<T>(
  { reference, onReady, signal }: LazyImageOptions,
  use: (image: LazyImage) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const program = await compiledGoProgram(PROGRAM, { signal });
  const work = await mkdtemp(join(tmpdir(), "lamella-lazy-"));
  const root = join(work, "stargz");
  const socket = join(work, "sock");
  const log = join(work, "log");
  const containerd = { root: join(work, "containerd"), snapshotters: { [SNAPSHOTTER]: socket }, signal };
  try {
    return await withDaemon({ program, parameters: [socket, root], socket, log, signal }, () =>
      withContainerd(containerd, async ({ ctr, ctrRemote }) => {
        onReady?.();
        await ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", SNAPSHOTTER, reference]);
        const snapshots = ["snapshots", "--snapshotter", SNAPSHOTTER];
        const top = topSnapshot((await ctr([...snapshots, "ls"])).output);
        // the view may be collected, but not the layers, which the image holds
        const command = await ctr([...snapshots, "view", "--target", NOWHERE, "view", top]);
        return withMount({ parameters: mountParameters(command.output), signal }, async (directory) => {
          const refusals = refusalsOf(await readFile(log, "utf8"));
          return use({ directory, lazyLayers: (await mountPointsIn(root)).length, refusals });
        });
      }),
    );
  } finally {
    // the snapshotter does this itself, if it has not crashed
    for (const mountPoint of await mountPointsIn(work)) await runCommand("umount", ["--lazy", mountPoint]);
    await rm(work, { recursive: true, force: true });
  }
}

/** The only one that no other stands on: there is no other image. */
function topSnapshot(listing: string): string {
  const rows = listing.split("\n").map((line) => line.trim().split(/\s+/));
  const parents = new Set(rows.map(([, parent]) => parent));
  const [top] =
    rows.find(([key = "", parent]) => key.startsWith("sha256:") && parent !== undefined && !parents.has(key)) ?? [];
  if (top === undefined) throw new OracleError("tool_failed", `cannot find an image's snapshot: ${listing.trim()}`);
  return top;
}

/** Of the command that `ctr snapshots view --target` prints. */
function mountParameters(command: string): string[] {
  return command
    .trim()
    .split(" ")
    .slice(1)
    .filter((word) => word !== NOWHERE);
}

/** Mount points below a directory (proc_pid_mountinfo(5)). */
async function mountPointsIn(directory: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[4] ?? "").filter((mountPoint) => mountPoint.startsWith(`${directory}/`));
}

function refusalsOf(log: string): string[] {
  const failed = log.split("\n").filter((line) => line.includes("remote-snapshot-prepared=false"));
  return failed.map((line) => /error="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line);
}
