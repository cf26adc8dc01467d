import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Mount, Mounter } from "../mount.js";
import type { Labels, Snapshotter } from "../snapshotter.js";
import { isThere, ownerLabels, removeTemporary } from "./temporary-snapshot.js";

/** Prepares a file system once for all who start from it, as by making the directories that a container's mounts need. */
export interface RootFSInitializer {
  /** Names what is done, with its version: what it has made of a parent is kept under this name, and taken instead of running it again. */
  readonly name: string;
  /** Changes the file system that is mounted on the directory. */
  run(directory: string, options: CallOptions): Promise<void>;
}

export interface InitRootFSOptions extends CallOptions {
  /** Run one on what the other has made. */
  initializers?: readonly RootFSInitializer[] | undefined;
  /** Of the snapshot that is made. */
  labels?: Labels | undefined;
}

/**
 * Makes the root file system of a container: a snapshot `name` on `parent`, a view if it is `readonly`. Gives its mounts; nothing is mounted.
 *
 * What an initializer makes is a committed snapshot between both, named `<parent> <initializer>`: one process makes it, and everybody shares it.
 *
 * @throws {SnapshotError} `already_exists`, before anything is initialized; `not_found` for the parent; what the initializers and the mounter throw, and then
 * nothing is left of the initialization
 */
export async function initRootFS(
  name: string,
  parent: string | undefined,
  readonly: boolean,
  snapshotter: Snapshotter,
  mounter: Mounter,
  options: InitRootFSOptions = {},
): Promise<readonly Mount[]> {
  const { initializers = [], labels, signal } = options;
  signal?.throwIfAborted();
  if (await isThere(snapshotter, name, { signal })) {
    throw new SnapshotError(
      "already_exists",
      `cannot make root file system ${quote(name)}: there is a snapshot of that name`,
    );
  }
  let base = parent;
  for (const initializer of initializers) {
    base = await initialize({ parent: base, initializer }, snapshotter, mounter, { signal });
  }
  return readonly
    ? snapshotter.view(name, base, { labels, signal })
    : snapshotter.prepare(name, base, { labels, signal });
}

async function initialize(
  { parent, initializer }: { parent: string | undefined; initializer: RootFSInitializer },
  snapshotter: Snapshotter,
  mounter: Mounter,
  options: CallOptions,
): Promise<string> {
  const name = parent === undefined ? initializer.name : `${parent} ${initializer.name}`;
  await snapshotter.exclusively(
    `initialize ${name}`,
    async () => {
      if (await isThere(snapshotter, name, options)) return;
      const target = await mkdtemp(join(tmpdir(), "lamella-init-"));
      try {
        const key = `initialize-${target} ${name}`;
        await makeInitialized({ key, name, parent, target }, initializer, snapshotter, mounter, options);
      } finally {
        await rmdir(target);
      }
    },
    options,
  );
  return name;
}

interface Initialization {
  readonly key: string;
  readonly name: string;
  readonly parent: string | undefined;
  readonly target: string;
}

async function makeInitialized(
  { key, name, parent, target }: Initialization,
  initializer: RootFSInitializer,
  snapshotter: Snapshotter,
  mounter: Mounter,
  options: CallOptions,
): Promise<void> {
  const mounts = await snapshotter.prepare(key, parent, { labels: await ownerLabels(), ...options });
  try {
    await mounter.mount(mounts, target, options);
    try {
      await initializer.run(target, options);
    } finally {
      // Whatever has happened: a mount that stays would be nobody's.
      await mounter.unmount(mounts, target);
    }
    await snapshotter.commit(name, key, options);
  } catch (error) {
    await removeTemporary(snapshotter, key);
    throw error;
  }
}
