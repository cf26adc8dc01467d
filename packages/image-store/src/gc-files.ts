import { randomUUID } from "node:crypto";
import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { isDigest } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import { isErrno } from "./durable.js";
import { digestOfPart, isAbandoned } from "./ingest-claim.js";

/**
 * - `blob`: `ref` is its digest. `layer`: the archive of a layer, by diffID. `disk`: by its file, relative to the store.
 * - `leftover`: what a process left that was killed while it wrote; by its path, relative to the store.
 */
export type StoredFileKind = "blob" | "layer" | "disk" | "leftover";

/** A file or directory of a store. */
export interface StoredFile {
  readonly kind: StoredFileKind;
  readonly ref: string;
  readonly path: string;
  /** What is being made where a leftover is; of a disk's key only the beginning is known then. */
  readonly of?: { readonly kind: "blob" | "layer" | "disk"; readonly ref: string };
}

/** Something that nothing needs, with its size. */
export interface Garbage extends StoredFile {
  readonly bytes: number;
}

interface FileState {
  readonly bytes: number;
  /** When it was last written, in milliseconds since 1970. */
  readonly changed: number;
}

/** Blobs, in no order. */
export async function* storedBlobs(
  content: ContentStore,
  options: CallOptions,
): AsyncGenerator<StoredFile & { readonly ref: Digest }> {
  for await (const digest of content.blobs(options)) {
    if (isDigest(digest)) yield { kind: "blob", ref: digest, path: content.blobPath(digest) };
  }
}

/** Layer archives, disks and leftovers, in no order. */
export async function* otherFiles(directory: string): AsyncGenerator<StoredFile> {
  for (const name of await names(directory, "layers")) {
    const path = join(directory, "layers", name);
    const [hex = "", ending] = name.split(".");
    const diffID = diffIDOf(hex);
    if (diffID === undefined) continue;
    if (ending === undefined) yield { kind: "layer", ref: diffID, path };
    else if (ending.startsWith("tmp-")) {
      yield { kind: "leftover", ref: `layers/${name}`, path, of: { kind: "layer", ref: diffID } };
    }
  }
  for (const name of await names(directory, "disks")) {
    const file = { ref: `disks/${name}`, path: join(directory, "disks", name) };
    const [, beginning] = /^\.([^.]+)\..*\.tmp$/.exec(name) ?? [];
    if (beginning !== undefined) yield { kind: "leftover", ...file, of: { kind: "disk", ref: beginning } };
    else if (!name.startsWith(".")) yield { kind: "disk", ...file };
  }
  const ingest = join(directory, "ingest");
  for (const name of await names(directory, "ingest")) {
    if (!(await isAbandoned(ingest, name))) continue;
    const digest = digestOfPart(name);
    const of = digest && { kind: "blob" as const, ref: digest };
    yield { kind: "leftover", ref: `ingest/${name}`, path: join(ingest, name), ...(of && { of }) };
  }
}

const ALGORITHM_BY_HEX_LENGTH: Readonly<Record<number, string>> = { 64: "sha256", 96: "sha384", 128: "sha512" };

function diffIDOf(hex: string): Digest | undefined {
  const digest = `${ALGORITHM_BY_HEX_LENGTH[hex.length] ?? ""}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

/** The key of a disk, by its file. */
export function keyOfDiskFile(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).split(".", 1)[0] ?? "";
}

/** What a file, or a directory with its files, takes. Undefined where it is gone. */
export async function fileState(path: string): Promise<FileState | undefined> {
  try {
    const own = await lstat(path);
    if (!own.isDirectory()) return { bytes: own.size, changed: own.mtimeMs };
    let [bytes, changed] = [0, own.mtimeMs];
    for (const name of await readdir(path)) {
      const { size, mtimeMs } = await lstat(join(path, name));
      bytes += size;
      changed = Math.max(changed, mtimeMs);
    }
    return { bytes, changed };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Takes a file away at once. What a directory held is still to be removed by what this gives. */
export async function takeAway({ kind, path }: StoredFile): Promise<(() => Promise<void>) | undefined> {
  if (kind !== "layer") {
    await rm(path, { recursive: true, force: true });
    return undefined;
  }
  const aside = `${path}.tmp-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  return () => rm(aside, { recursive: true, force: true });
}

async function names(directory: string, below: string): Promise<string[]> {
  try {
    return await readdir(join(directory, below));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
