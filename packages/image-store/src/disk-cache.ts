import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { planDisk, planErofsLayers, writeDisk } from "@lamella/disk-export";
import type { DiskPlan } from "@lamella/disk-export";
import type { Transaction } from "@lamella/database";
import type { Layer } from "@lamella/layer-format";
import { openLayer } from "@lamella/layer-format/node";
import type { CallOptions, Digest } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";
import { canonicalOptions, diskKeys } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";
import { isErrno, syncDirectory } from "./durable.js";
import { ImageStoreError } from "./errors.js";
import { openImageTree } from "./image-tree.js";
import type { Image } from "./image.js";
import type { ImageStore } from "./image-store.js";
import type { Lease } from "./lease.js";
import { layerDirectory } from "./pull.js";
import { createQuotaGuard } from "./quota.js";
import type { QuotaGuard } from "./quota.js";
import { explained } from "./system-error.js";

/** A disk that the store keeps. The file is never written again: a machine that writes to its disk gets a copy. */
export interface KeptDisk {
  readonly key: string;
  readonly format: "ext4" | "erofs" | "cpio" | "tar";
  readonly path: string;
  readonly sizeBytes: number;
}

export interface KeepDisksOptions extends CallOptions {
  /** Holds the disks until it ends. By default they are held for as long as the image is in the store, and until this call ends. */
  lease?: Lease | undefined;
  quota?: QuotaGuard | undefined;
  /** Bytes of the disks that are made; begins anew with each. */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

/**
 * Gives the disks of an image that was pulled, and makes those that are not there: one, or for `erofs-layers` one for each layer, base first (overlayfs
 * takes the highest first). A disk is there whole or not at all; whoever asks for one that is being made, in whichever process,
 * waits for that. The image's layer archives must be held by a lease.
 *
 * @throws {ImageStoreError} `not_image` for the layers of an image that has none, `quota_exceeded`, `no_space`, `too_many_files`, `io_failed`; what planning and
 *   writing throw else
 */
export async function keepDisks(
  store: ImageStore,
  image: Image,
  request: DiskRequest,
  options: KeepDisksOptions = {},
): Promise<readonly KeptDisk[]> {
  const { lease, signal } = options;
  signal?.throwIfAborted();
  const diffIDs = image.layers.map(({ diffID }) => diffID);
  const keys = diskKeys({ diffIDs, platform: image.config, request });
  const items = keys.map((ref) => ({ kind: "disk", ref }) as const);
  const work = new DiskWork(store, image, request, options);
  const make = (): Promise<KeptDisk[]> =>
    explained(`keep a disk of ${image.descriptor.digest}`, () =>
      request.format === "erofs-layers" ? work.keepLayers(keys) : work.keepWhole(request, keys[0]!),
    );
  if (lease === undefined) return store.lease(`disk of ${image.descriptor.digest}`, items, make, { signal });
  await lease.add(items, { signal });
  return make();
}

/** Records that disks belong to an image; one that is not in the store has none. */
export async function recordDisksOf(
  queries: Transaction<StoreSchema>,
  manifest: Digest,
  keys: readonly string[],
): Promise<void> {
  const image = queries.selectFrom("images").select("manifest_digest").where("manifest_digest", "=", manifest);
  if ((await image.executeTakeFirst()) === undefined) return;
  for (const disk_key of keys) {
    await queries
      .insertInto("disk_images")
      .values({ disk_key, manifest_digest: manifest })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** The kept disks of these keys in their order, if all of them are whole. */
export async function findDisks(
  store: ImageStore,
  keys: readonly string[],
  options: CallOptions = {},
): Promise<readonly KeptDisk[] | undefined> {
  const disks: KeptDisk[] = [];
  for (const key of keys) {
    const disk = await findDisk(store, key, options);
    if (disk === undefined) return undefined;
    disks.push(disk);
  }
  return disks;
}

async function findDisk(store: ImageStore, key: string, options: CallOptions): Promise<KeptDisk | undefined> {
  const row = await store.database.read(
    (queries) => queries.selectFrom("disks").selectAll().where("key", "=", key).executeTakeFirst(),
    options,
  );
  if (row === undefined) return undefined;
  const path = join(store.directory, row.file);
  const found = await stat(path).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (found?.size !== row.size_bytes || !found.isFile()) return undefined;
  return { key, format: row.format as KeptDisk["format"], path, sizeBytes: row.size_bytes };
}

/** The disks of one image. */
class DiskWork {
  readonly #store: ImageStore;
  readonly #image: Image;
  readonly #request: DiskRequest;
  readonly #options: KeepDisksOptions;
  readonly #quota: QuotaGuard;

  constructor(store: ImageStore, image: Image, request: DiskRequest, options: KeepDisksOptions) {
    this.#store = store;
    this.#image = image;
    this.#request = request;
    this.#options = options;
    this.#quota = options.quota ?? createQuotaGuard(store.directory, {});
  }

  async keepWhole(request: Exclude<DiskRequest, { format: "erofs-layers" }>, key: string): Promise<KeptDisk[]> {
    const disk = await this.#keep(key, async (write) => {
      await using tree = await openImageTree(this.#store.content, this.#image, this.#call);
      await using plan = await planDisk(tree, { ...request, ...this.#call });
      return await write(plan);
    });
    return [disk];
  }

  async keepLayers(keys: readonly string[]): Promise<KeptDisk[]> {
    const { digest } = this.#image.descriptor;
    if (keys.length === 0) {
      throw new ImageStoreError("not_image", `cannot make disks of the layers of ${digest}: it has none`);
    }
    const { format: _, ...options } = this.#request as Extract<DiskRequest, { format: "erofs-layers" }>;
    const found = await findDisks(this.#store, keys, this.#call);
    if (found !== undefined) return Promise.all(found.map((disk) => this.#used(disk)));
    const layers: Layer[] = [];
    try {
      for (const { diffID } of this.#image.layers) {
        layers.push(await openLayer(layerDirectory(this.#store.content, diffID), this.#call));
      }
      const disks: KeptDisk[] = [];
      for await (const plan of planErofsLayers(layers, { ...options, ...this.#call })) {
        await using planned = plan;
        disks.push(await this.#keep(keys[disks.length]!, (write) => write(planned)));
      }
      return disks;
    } finally {
      for (const layer of layers) await layer[Symbol.asyncDispose]();
    }
  }

  get #call(): CallOptions {
    return { signal: this.#options.signal };
  }

  async #keep(
    key: string,
    make: (write: (plan: DiskPlan) => Promise<KeptDisk>) => Promise<KeptDisk>,
  ): Promise<KeptDisk> {
    const { database } = this.#store;
    const keepOne = async (): Promise<KeptDisk> => {
      const found = await findDisk(this.#store, key, this.#call);
      return found === undefined ? make((plan) => this.#write(key, plan)) : this.#used(found);
    };
    return database.exclusively(`disk ${key}`, keepOne, this.#call);
  }

  /** The file whole and synced first, then its row. */
  async #write(key: string, plan: DiskPlan): Promise<KeptDisk> {
    const { format } = plan;
    const directory = join(this.#store.directory, "disks");
    if ((await mkdir(directory, { recursive: true })) !== undefined) await syncDirectory(this.#store.directory);
    await removeAbandoned(directory, key);
    const file = `disks/${key}.${format}`;
    const path = join(this.#store.directory, file);
    const writing = { bytes: writtenBytes(plan), what: `keep a disk of ${this.#image.descriptor.digest}` };
    const { onProgress } = this.#options;
    using _ = await this.#quota.reserve(writing, this.#call);
    const { sizeBytes } = await writeDisk(plan, path, { onProgress, ...this.#call });
    const manifest_digest = this.#image.descriptor.digest;
    const now = Date.now();
    const row = { manifest_digest, format, options: canonicalOptions(this.#request), file, size_bytes: sizeBytes };
    await this.#store.database.write(async (queries) => {
      await queries
        .insertInto("disks")
        .values({ key, ...row, created_at: now, used_at: now })
        .onConflict((conflict) => conflict.column("key").doUpdateSet({ ...row, created_at: now, used_at: now }))
        .execute();
      await recordDisksOf(queries, manifest_digest, [key]);
    });
    return { key, format, path, sizeBytes };
  }

  async #used(disk: KeptDisk): Promise<KeptDisk> {
    await this.#store.database.write(async (queries) => {
      await queries.updateTable("disks").set({ used_at: Date.now() }).where("key", "=", disk.key).execute();
      await recordDisksOf(queries, this.#image.descriptor.digest, [disk.key]);
    }, this.#call);
    return disk;
  }
}

/** How much of its key the name of a disk that is being written has: `.<beginning>.<random>.tmp`. */
const NAME_CHARACTERS_KEPT = 60;

/** What a process that was killed has left of this disk. Nobody else writes it now, as we have the claim on its key. */
async function removeAbandoned(directory: string, key: string): Promise<void> {
  const prefix = `.${key.slice(0, NAME_CHARACTERS_KEPT)}`;
  for (const name of await readdir(directory)) {
    if (name.startsWith(prefix) && name.endsWith(".tmp")) await rm(join(directory, name), { force: true });
  }
}

const BLOCK_BYTES = 4096;

/** What a sparse file of the plan takes on disk. */
function writtenBytes({ segments }: DiskPlan): number {
  let bytes = 0;
  let end = 0;
  for (const { offset, length } of segments) {
    const first = Math.max(end, offset - (offset % BLOCK_BYTES));
    end = Math.max(end, Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES);
    bytes += end - first;
  }
  return bytes;
}
