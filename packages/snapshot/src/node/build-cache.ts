import { randomUUID } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";

import { type Database, isOwnerAlive, openDatabase, processOwner } from "@lamella/database";
import type { FileTree, Layer } from "@lamella/layer-format";
import { openLayer, readLayer } from "@lamella/layer-format/node";
import type { CallOptions, Digest } from "@lamella/refs";

import { openChain } from "../chain.js";
import { SnapshotError } from "../errors.js";
import type { BuildCache, CachedPrefix, CachedSnapshot, SaveOptions, SnapshotManifest } from "../snapshot-manifest.js";
import { linkArchive } from "./archive-link.js";
import {
  BUILD_CACHE_MIGRATIONS,
  type BuildCacheSchema,
  deleteIncoming,
  deleteManifest,
  findLastOf,
  findLayer,
  findManifest,
  insertIncoming,
  insertManifest,
  listDirectories,
  listIncoming,
  listManifests,
} from "./build-cache-rows.js";
import { removeDirectory } from "./snapshot-directory.js";

export interface OpenBuildCacheOptions extends CallOptions {
  /** How long a call may wait for the writes of other processes; 30 seconds by default. */
  busyTimeoutMs?: number | undefined;
}

const ROWS_A_PAGE = 256;

/**
 * Opens a build cache, or makes it: manifests in `cache.db`, layer archives in `layers/`.
 * @throws {DatabaseError} as `openDatabase` does
 */
export async function openBuildCache(directory: string, options: OpenBuildCacheOptions = {}): Promise<BuildCache> {
  const { busyTimeoutMs, signal } = options;
  signal?.throwIfAborted();
  const root = resolve(directory);
  const layers = join(root, "layers");
  await mkdir(layers, { recursive: true });
  const database = await openDatabase<BuildCacheSchema>(join(root, "cache.db"), {
    migrations: BUILD_CACHE_MIGRATIONS,
    ...(busyTimeoutMs !== undefined && { busyTimeoutMs }),
    signal,
  });
  return new StoredBuildCache(database, layers);
}

class StoredBuildCache implements BuildCache {
  readonly #database: Database<BuildCacheSchema>;
  /** The directory of the layers' directories. */
  readonly #layers: string;

  constructor(database: Database<BuildCacheSchema>, layers: string) {
    this.#database = database;
    this.#layers = layers;
  }

  async save(key: Digest, { layers, config }: SnapshotManifest, options: SaveOptions = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    const text = config === undefined ? undefined : toJson(key, config);
    const arrived = new Map<Digest, string>();
    try {
      for (;;) {
        const manifest = { key, layers, text, savedAt: new Date(), arrived };
        const { missing, unused } = await this.#database.write((queries) => insertManifest(queries, manifest), {
          signal,
        });
        if (missing.length === 0) {
          arrived.clear();
          // Saved it is: what keeps a directory is said by cleanup.
          await Promise.allSettled(unused.map((name) => removeDirectory(this.#path(name))));
          return;
        }
        // Also those whose last manifest somebody has deleted meanwhile.
        for (const diffID of missing) await this.#bring(diffID, arrived, options);
      }
    } finally {
      for (const name of arrived.values()) await this.#abandon(name);
    }
  }

  async load(key: Digest, options: CallOptions = {}): Promise<CachedSnapshot> {
    const found = await this.#database.read((queries) => findManifest(queries, key), options);
    if (found === undefined)
      throw new SnapshotError("not_found", `cannot load ${key}: the build cache does not have it`);
    return found;
  }

  async exists(key: Digest, options: CallOptions = {}): Promise<boolean> {
    return (await this.#database.read((queries) => findManifest(queries, key), options)) !== undefined;
  }

  async *list(options: CallOptions = {}): AsyncGenerator<CachedSnapshot> {
    for (let after = 0; ;) {
      const page = { after, limit: ROWS_A_PAGE };
      const found = await this.#database.read((queries) => listManifests(queries, page), options);
      for (const { id, snapshot } of found) {
        options.signal?.throwIfAborted();
        yield snapshot;
        after = id;
      }
      if (found.length < ROWS_A_PAGE) return;
    }
  }

  async delete(key: Digest, options: CallOptions = {}): Promise<void> {
    const unused = await this.#database.write((queries) => deleteManifest(queries, key), options);
    await Promise.allSettled(unused.map((name) => removeDirectory(this.#path(name))));
  }

  async longestPrefix(keys: readonly Digest[], options: CallOptions = {}): Promise<CachedPrefix | undefined> {
    return this.#database.read((queries) => findLastOf(queries, keys), options);
  }

  async archive(diffID: Digest, options: CallOptions = {}): Promise<string | undefined> {
    const name = await this.#database.read((queries) => findLayer(queries, diffID), options);
    return name === undefined ? undefined : this.#path(name);
  }

  async openLayer(diffID: Digest, options: CallOptions = {}): Promise<Layer> {
    const directory = await this.archive(diffID, options);
    try {
      if (directory !== undefined) return await openLayer(directory, options);
    } catch (error) {
      if ((await this.archive(diffID, options)) === directory) throw error;
      // Another one has come since.
      return this.openLayer(diffID, options);
    }
    throw new SnapshotError("not_found", `cannot open layer ${diffID}: the build cache does not have it`);
  }

  async openTree(key: Digest, options: CallOptions = {}): Promise<FileTree> {
    const { layers } = await this.load(key, options);
    return openChain(layers, { ...options, openLayer: (diffID, call) => this.openLayer(diffID, call) });
  }

  async cleanup(options: CallOptions = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    // Directories first: each of these had its row before, so that one without a row now has lost it.
    const there = await readdir(this.#layers);
    for (const { directory, owner } of await this.#database.read(listIncoming, { signal })) {
      if (await isOwnerAlive(owner)) continue;
      await this.#database.write((queries) => deleteIncoming(queries, directory), { signal });
    }
    const known = await this.#database.read(listDirectories, { signal });
    for (const name of there) {
      if (!known.has(name)) await removeDirectory(this.#path(name), { signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }

  /** Fills a directory with the archive of a layer. */
  async #bring(diffID: Digest, arrived: Map<Digest, string>, { archive, signal }: SaveOptions): Promise<void> {
    signal?.throwIfAborted();
    const from = await archive?.(diffID);
    if (from === undefined) {
      throw new SnapshotError("not_found", `cannot save layer ${diffID}: it is neither in the build cache nor given`);
    }
    const name = randomUUID();
    const owner = await processOwner();
    await this.#database.write((queries) => insertIncoming(queries, name, owner), { signal });
    arrived.set(diffID, name);
    await linkArchive(from, this.#path(name));
    await using linked = await readLayer(this.#path(name), { signal });
    if (linked.diffID !== diffID) {
      throw new SnapshotError("layer_mismatch", `cannot save layer ${diffID}: the archive is of ${linked.diffID}`);
    }
  }

  async #abandon(name: string): Promise<void> {
    if (await this.#database.write((queries) => deleteIncoming(queries, name))) await removeDirectory(this.#path(name));
  }

  #path(name: string): string {
    return join(this.#layers, name);
  }
}

function toJson(key: Digest, config: unknown): string {
  try {
    const text: unknown = JSON.stringify(config);
    if (typeof text === "string") return text;
  } catch (cause) {
    throw new SnapshotError("invalid_argument", `cannot save ${key}: its config cannot be written as JSON`, { cause });
  }
  throw new SnapshotError("invalid_argument", `cannot save ${key}: its config is no JSON value`);
}
