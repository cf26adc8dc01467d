import { lstat, readdir, realpath } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import type { Usage } from "../snapshotter.js";

/** How many names are asked for at a time. */
const AT_A_TIME = 64;

interface Walk extends CallOptions {
  readonly seen: Set<string>;
  bytes: number;
}

/**
 * What a directory, or that to which a symlink leads, takes up on its disk: blocks, not lengths; a file of several names counts once, the directory
 * itself too.
 */
export async function measureDirectory(path: string, options: CallOptions = {}): Promise<Usage> {
  options.signal?.throwIfAborted();
  const walk: Walk = { ...options, seen: new Set(), bytes: 0 };
  // Names are bytes, which only a buffer holds.
  const waiting = await measure([Buffer.from(await realpath(path))], walk);
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    const names = await readdir(directory, { encoding: "buffer" });
    for (let start = 0; start < names.length; start += AT_A_TIME) {
      options.signal?.throwIfAborted();
      const prefix = Buffer.concat([directory, Buffer.from("/")]);
      const paths = names.slice(start, start + AT_A_TIME).map((name) => Buffer.concat([prefix, name]));
      waiting.push(...(await measure(paths, walk)));
    }
  }
  return { bytes: walk.bytes, inodes: walk.seen.size };
}

/** Counts what is at some paths; gives those that are directories. */
async function measure(paths: readonly Buffer[], walk: Walk): Promise<Buffer[]> {
  const found = await Promise.all(paths.map((path) => lstat(path, { bigint: true })));
  for (const { dev, ino, blocks } of found) {
    const inode = `${dev}:${ino}`;
    if (!walk.seen.has(inode)) walk.bytes += Number(blocks) * 512;
    walk.seen.add(inode);
  }
  return paths.filter((_, index) => found[index]?.isDirectory());
}
