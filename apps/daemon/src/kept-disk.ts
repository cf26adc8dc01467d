import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import { findDisks } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import { quote } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import { DaemonError } from "./errors.js";
import { takeLease } from "./held-lease.js";

const CHUNK_BYTES = 256 << 10;

/** A disk of the store, open, and held against garbage collection until it is disposed of. */
export interface OpenKeptDisk extends AsyncDisposable {
  readonly key: string;
  readonly sizeBytes: number;
  /** Exactly so many bytes, in chunks that stay as they are. Throws where the file ends before. */
  read(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
}

/** @throws {DaemonError} `not_found` */
export async function openKeptDisk(
  store: ImageStore,
  key: string,
  { purpose, signal }: CallOptions & { readonly purpose: string },
): Promise<OpenKeptDisk> {
  const held = await takeLease(store, purpose, [{ kind: "disk", ref: key }], { signal });
  try {
    // what was there before the lease may have gone
    const [disk] = (await findDisks(store, [key], { signal })) ?? [];
    if (disk === undefined) throw new DaemonError("not_found", `cannot open disk ${quote(key)}: not in the store`);
    const file = await open(disk.path);
    return {
      key,
      sizeBytes: disk.sizeBytes,
      read: (offset, length, call) => readFile(file, offset, length, call),
      async [Symbol.asyncDispose]() {
        try {
          await file.close();
        } finally {
          await held[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}

async function* readFile(
  file: FileHandle,
  offset: number,
  length: number,
  { signal }: CallOptions = {},
): AsyncGenerator<Uint8Array> {
  for (let at = offset, end = offset + length; at < end;) {
    signal?.throwIfAborted();
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new Error(`cannot read a disk at ${at}: its file ends there`);
    yield chunk.subarray(0, bytesRead);
    at += bytesRead;
  }
}
