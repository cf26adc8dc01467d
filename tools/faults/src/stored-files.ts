import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { openImageStore, openImageTree, readImage } from "@lamella/image-store";
import type { Image, ImageStore } from "@lamella/image-store";
import type { Digest } from "@lamella/refs";

import { PLATFORM } from "./sample-images.js";

/** What images and disks hold, by what they are made of: the same in every store. */
export interface KnownContents {
  /** A hash of all that a tree says, by the manifest of its image. */
  readonly trees: Map<Digest, string>;
  /** The SHA-256 of a disk, by its key. */
  readonly disks: Map<string, string>;
}

export function knowNothing(): KnownContents {
  return { trees: new Map(), disks: new Map() };
}

/**
 * Reads everything that the names of a store lead to, with hashes of our own, and compares it with what is known; what is not known yet is from
 * now on. Gives what each name stands for.
 */
export async function readAll(store: ImageStore, known: KnownContents): Promise<Map<string, Digest>> {
  const names = new Map<string, Digest>();
  for (const { name, descriptor } of await store.tags()) {
    names.set(name, descriptor.digest);
    const image = await readImage(store.content, descriptor, { platform: PLATFORM });
    await readWhole(store, image, known);
    const { disks } = await store.get(name);
    for (const { key, file } of disks) {
      agree(known.disks, { key, found: sha256(readFileSync(join(store.directory, file))), what: `disk ${file}` });
    }
  }
  return names;
}

/** Reads all blobs of an image, and its tree. */
export async function readWhole(store: ImageStore, image: Image, { trees }: KnownContents): Promise<void> {
  const { root, descriptor, manifest } = image;
  for (const { digest } of [root, descriptor, manifest.config, ...manifest.layers]) {
    const found = `sha256:${sha256(readFileSync(store.content.blobPath(digest)))}`;
    if (found !== digest) throw new Error(`blob ${digest} has the digest ${found}`);
  }
  const found = await hashTree(store, image);
  agree(trees, { key: descriptor.digest, found, what: `the tree of ${descriptor.digest}` });
}

async function hashTree(store: ImageStore, image: Image): Promise<string> {
  const hash = createHash("sha256");
  await using tree = await openImageTree(store.content, image);
  for await (const entry of tree.entries()) {
    hash.update(`${entry.path}\0${entry.kind}\0${entry.mode}\0${entry.size}\0`);
    if (entry.kind === "file") for await (const chunk of tree.read(entry)) hash.update(chunk);
  }
  return hash.digest("hex");
}

function agree<Key>(known: Map<Key, string>, seen: { key: Key; found: string; what: string }): void {
  const { key, found, what } = seen;
  const expected = known.get(key) ?? found;
  if (found !== expected) throw new Error(`${what} is not what it was: ${found}, not ${expected}`);
  known.set(key, expected);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What a store may have in its directory. SQLite keeps the last two as long as somebody has the database open. */
const OWN_FILES = ["oci-layout", "index.json", "lamella.db", "lamella.db-wal", "lamella.db-shm"];
const OWN_DIRECTORIES: ReadonlySet<string> = new Set(["blobs", "layers", "disks", "ingest"]);

/** Files of a store that no name leads to: none, once garbage has been collected. */
export async function strayFiles(directory: string): Promise<string[]> {
  await using store = await openImageStore(directory);
  const wanted = new Set(OWN_FILES);
  for (const { name, descriptor } of await store.tags()) {
    const image = await readImage(store.content, descriptor, { platform: PLATFORM });
    const { root, manifest, layers } = image;
    for (const { digest } of [root, image.descriptor, manifest.config, ...manifest.layers]) {
      wanted.add(`blobs/${digest.replace(":", "/")}`);
    }
    for (const { diffID } of layers) {
      for (const part of ["idx", "contents"]) wanted.add(`layers/${diffID.slice("sha256:".length)}/${part}`);
    }
    for (const { file } of (await store.get(name)).disks) wanted.add(file);
  }
  return filesOf(directory).filter((path) => !wanted.has(path));
}

/** What processes that write leave when they cannot end: parts of blobs, archives and disks, and of `index.json`. */
export function temporaryFiles(directory: string): string[] {
  return filesOf(directory).filter((path) => /^ingest\/|\.tmp-|\.tmp$/.test(path));
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() || isEmptyLeftover(join(entry.parentPath, entry.name)))
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .filter((path) => !OWN_DIRECTORIES.has(path));
}

/** A directory without files is a file of its own here, but for those that every store has. */
function isEmptyLeftover(path: string): boolean {
  return (
    existsSync(path) && readdirSync(path).length === 0 && !/\/(?:sha256|sha512|blobs|layers|disks|ingest)$/.test(path)
  );
}
