import { setTimeout as sleep } from "node:timers/promises";

import type { FileTree } from "@lamella/layer-format";
import { type CallOptions, quote } from "@lamella/refs";

import { FuseError } from "./errors.js";
import { detachAtExit } from "./mount/exit-detach.js";
import {
  abortConnection,
  detachKernel,
  mountKernel,
  openDevice,
  setReadAhead,
  unmountKernel,
} from "./mount/kernel-mount.js";
import { prepareMountPoint } from "./mount/mount-point.js";
import { seesAllUsers } from "./mount/user-namespace.js";
import { type CallServer, createCallServer, type ReadStats } from "./server/call-server.js";
import { createReplyDevice } from "./server/reply-device.js";
import { type ServingThread, startServingThread } from "./server/serving-thread.js";
import type { StateFile } from "./server/state-files.js";
import { buildIndex } from "./tree/build-index.js";
import type { TreeIndex } from "./tree/tree-index.js";

/** The state file's name in the root of a mount. No listing has it. */
export const STATE_FILE_NAME = ".lamella-state.json";

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_READ_AHEAD_BYTES = 1 << 20;
/** The thread ends with the mount, unless somebody still uses it. */
const END_MS = 2000;

export interface MountTreeOptions extends CallOptions {
  /** Other users may look into it too, as far as the tree's own modes let them. By default nobody may but who mounts. */
  allowOther?: boolean;
  /** How long one read of a file may take, waiting included, before it ends in EIO; 30 s by default. */
  timeoutMs?: number;
  /** What the machine's table of mounts has as the source; `lamella` by default. */
  name?: string;
  /**
   * What the file {@link STATE_FILE_NAME} in the root says, as JSON; asked each time that it is opened. It is not listed, and a file that the tree has by
   * that name takes its place. Without this there is none.
   */
  stateFile?: StateFile;
  /** How far the kernel reads ahead, where root may say so; 1 MiB by default. */
  readAheadBytes?: number;
  /** Told of each read that ends in EIO: why, and of what file (a byte string; empty for the state file). */
  onReadError?: (error: unknown, path: string) => void;
}

export interface FuseStats extends ReadStats {
  /** What the kernel has asked for in all. */
  readonly requests: number;
}

/** `detached`: it was still in use. The directory is free, but what somebody has open there fails from now on, unless the kernel knows it already. */
export type Unmounting = "unmounted" | "detached";

/**
 * A mounted tree. It is served until somebody unmounts it, and keeps the process alive that long. Disposing of it unmounts it.
 *
 * A process that is killed leaves a dead mount, on which nobody hangs: everything in it fails with ENOTCONN until it is unmounted, as the next
 * `mountTree` on that directory does.
 */
export interface FuseMount extends AsyncDisposable {
  /** The real path of where it is mounted. */
  readonly directory: string;
  /** Resolves when it is not served any more, whoever has unmounted it; rejects with `server_failed`. */
  readonly done: Promise<void>;
  stats(): FuseStats;
  /**
   * Unmounts; where it is still in use after a second, it detaches. Again, it gives the same.
   * @throws {FuseError} `unmount_failed`
   */
  unmount(): Promise<Unmounting>;
}

/**
 * Mounts a tree on an existing directory, read-only, through FUSE: by /dev/fuse and mount(8), so as root, or as root of namespaces of one's own. Setuid
 * bits and devices are shown but have no effect (`nosuid`, `nodev`).
 *
 * Names and attributes are read once and answered by a thread of their own. Files are read from the tree when they are read from the mount, in this thread:
 * never use your own mount by synchronous calls, nor by so many asynchronous ones that they take all of Node's threads from the tree. The tree is borrowed:
 * close it after unmounting.
 *
 * @throws {FuseError} `unsupported`, `busy`, `mount_failed`, `tree_invalid`
 */
export async function mountTree(tree: FileTree, directory: string, options: MountTreeOptions = {}): Promise<FuseMount> {
  const { allowOther = false, timeoutMs = DEFAULT_TIMEOUT_MS, name = "lamella", stateFile, signal } = options;
  signal?.throwIfAborted();
  const place = await prepareMountPoint(directory);
  const hidesTrustedFrom = (await seesAllUsers()) ? "others" : "all";
  signal?.throwIfAborted();

  const fd = openDevice();
  const device = createReplyDevice(fd);
  const stateName = stateFile && STATE_FILE_NAME;
  // It comes up while the tree is read.
  const thread = startServingThread({ fd, options: { stateName, hidesTrustedFrom } });
  let index: TreeIndex;
  let kernelDevice: string;
  try {
    index = await buildIndex(tree, { signal });
    kernelDevice = await mountKernel(place, { fd, allowOther, name });
  } catch (error) {
    await thread.cancel();
    device.close();
    throw error;
  }
  const stayAtExit = detachAtExit(place);
  const calls = createCallServer({ device, tree, index, timeoutMs, stateFile, onReadError: options.onReadError });
  thread.begin(index, calls.handle);
  const served = thread.ended.then((error) => {
    calls.close();
    device.close();
    stayAtExit();
    return error;
  });
  const mount = createMount({ place, kernelDevice, served, thread, calls });
  try {
    await Promise.race([thread.ready, mount.done]);
    await setReadAhead(kernelDevice, options.readAheadBytes ?? DEFAULT_READ_AHEAD_BYTES);
    signal?.throwIfAborted();
  } catch (error) {
    await mount.unmount();
    throw error;
  }
  return mount;
}

interface MountParts {
  readonly place: string;
  readonly kernelDevice: string;
  /** Resolves when all of it has ended, with the error that ended it. */
  readonly served: Promise<Error | undefined>;
  readonly thread: ServingThread;
  readonly calls: CallServer;
}

function createMount({ place, kernelDevice, served, thread, calls }: MountParts): FuseMount {
  const done = served.then(async (error) => {
    if (error === undefined) return;
    await detachKernel(kernelDevice);
    throw new FuseError("server_failed", `cannot serve ${quote(place)}: ${error.message}`, { cause: error });
  });
  // Who does not wait for it gets to know by the mount.
  done.catch(() => undefined);

  async function endMount(): Promise<Unmounting> {
    const isUnused = await unmountKernel(kernelDevice);
    if (isUnused && (await isOver(served))) return "unmounted";
    await (isUnused ? abortConnection(kernelDevice) : detachKernel(kernelDevice));
    await isOver(served);
    return "detached";
  }

  let unmounting: Promise<Unmounting> | undefined;
  async function unmount(): Promise<Unmounting> {
    unmounting ??= endMount();
    try {
      return await unmounting;
    } catch (error) {
      unmounting = undefined;
      throw error;
    }
  }

  return {
    directory: place,
    done,
    stats: () => ({ requests: thread.requestCount(), ...calls.stats() }),
    unmount,
    async [Symbol.asyncDispose]() {
      await unmount();
    },
  };
}

async function isOver(served: Promise<unknown>): Promise<boolean> {
  const limit = new AbortController();
  try {
    const late = sleep(END_MS, false, { signal: limit.signal }).catch(() => false);
    return await Promise.race([served.then(() => true), late]);
  } finally {
    limit.abort();
  }
}
