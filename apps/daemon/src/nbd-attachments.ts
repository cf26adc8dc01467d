import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { ImageStore } from "@lamella/image-store";
import { serveNbd } from "@lamella/nbd";
import type { NbdServer } from "@lamella/nbd";
import type { z } from "@hono/zod-openapi";

import type { NbdAttachments } from "./api/context.js";
import type { NbdAttachment } from "./api/schemas.js";
import { DaemonError } from "./errors.js";
import { openKeptDisk } from "./kept-disk.js";
import type { OpenKeptDisk } from "./kept-disk.js";

export interface NbdAttachmentsOptions {
  /** Where the socket `nbd.sock` is to be, mode 0600; made with mode 0700 if need be. `run` in the store's directory by default. */
  readonly directory?: string | undefined;
  /** Is told of reads that failed. */
  readonly onError: (error: unknown) => void;
}

/** The socket is there from the first disk that is attached until the daemon stops. */
export function createNbdAttachments(store: ImageStore, options: NbdAttachmentsOptions): NbdAttachments {
  const { directory = join(store.directory, "run"), onError } = options;
  const disks = new Map<string, OpenKeptDisk>();
  let server: NbdServer | undefined;
  let isClosed = false;
  /** One change after another. */
  let last: Promise<unknown> = Promise.resolve();

  function next<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  }

  function describe(key: string): z.infer<typeof NbdAttachment> {
    return { key, uri: server!.uri(key), connections: server!.connectionsOf(key) };
  }

  async function serve(disk: OpenKeptDisk): Promise<void> {
    if (server !== undefined) return server.add(disk.key, disk);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    server = await serveNbd(new Map([[disk.key, disk]]), { path: join(directory, "nbd.sock"), onReadError: onError });
  }

  async function detach(key: string): Promise<boolean> {
    const disk = disks.get(key);
    if (disk === undefined) return false;
    disks.delete(key);
    await server?.remove(key);
    await disk[Symbol.asyncDispose]();
    return true;
  }

  return {
    attach: (key, { signal } = {}) =>
      next(async () => {
        signal?.throwIfAborted();
        if (isClosed) throw new DaemonError("stopping", "cannot attach a disk: the daemon stops");
        if (!disks.has(key)) {
          const disk = await openKeptDisk(store, key, { purpose: `serve disk ${key}`, signal });
          try {
            await serve(disk);
          } catch (error) {
            await disk[Symbol.asyncDispose]();
            throw error;
          }
          disks.set(key, disk);
        }
        return describe(key);
      }),
    detach: (key, { signal } = {}) =>
      next(async () => {
        signal?.throwIfAborted();
        return detach(key);
      }),
    list: () => [...disks.keys()].map(describe),
    [Symbol.asyncDispose]: () =>
      next(async () => {
        isClosed = true;
        // who reads is not waited for: a machine would read for ever
        await server?.close({ graceMs: 0 });
        for (const disk of disks.values()) await disk[Symbol.asyncDispose]();
        disks.clear();
      }),
  };
}
