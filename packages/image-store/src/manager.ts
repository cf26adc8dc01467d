import type { CallOptions, Digest, Platform } from "@lamella/refs";

import { isUnfinished } from "./build-queue-rows.js";
import type { Build } from "./build-queue-rows.js";
import { openBuildQueue } from "./build-queue.js";
import type { BuildQueue } from "./build-queue.js";
import type { BuildStatus } from "./database/schema.js";
import { canonicalOptions } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";
import { ImageStoreError } from "./errors.js";
import type { ManagerHooks } from "./hooks.js";
import type { ImageStore } from "./image-store.js";
import { buildImage } from "./manager-build.js";
import type { OpenImageSource } from "./manager-build.js";
import { Changes } from "./manager-changes.js";
import { createBuildEvents } from "./manager-events.js";
import type { BuildEvent } from "./manager-events.js";
import { canonicalName, findBuild, readManaged } from "./manager-image.js";
import type { ManagedFilter, ManagedImage } from "./manager-image.js";
import { listManaged } from "./manager-list.js";
import { deleteManaged, nameLocal, requestBuild, resolveName } from "./manager-request.js";
import type { CreateImageOptions } from "./manager-request.js";
import { createQuotaGuard, measureStore } from "./quota.js";
import type { Quotas } from "./quota.js";
import type { Removed, RemoveOptions } from "./removal.js";

/**
 * From a name to disks that machines boot from: resolves, pulls, converts, keeps, and tells how far it is.
 *
 * An image is asked for with `createImage` and is `pending`, `pulling`, `converting`, then `ready`, `failed` or `cancelled`; from the beginning it goes by name
 * and by digest. A failed one is built again when it is asked for again. The name stands for the image once it is ready, not before.
 *
 * Builds are in the store's database: any number of managers share a store, each sees the images of all, and takes over the builds of those that are
 * gone with `recoverInterruptedBuilds`. Whoever opened a manager disposes of it before the store; what it has not ended then is left to be
 * recovered.
 */
export interface ImageManager extends AsyncDisposable {
  readonly queue: Pick<BuildQueue, "limit" | "active" | "pending" | "length" | "position" | "idle">;
  /** The one that was asked for last first, by what the database says of their disks: no file is looked at, however many there are. */
  listImages(filter?: ManagedFilter, options?: CallOptions): Promise<ManagedImage[]>;
  /**
   * Asks for an image. It is there already if it was built from what the name stands for now, and the name stands for it again then; it is being
   * built if somebody has asked before; else it is put into the queue. A name of the user's own (scope `local`) is not asked for anywhere else.
   *
   * @throws {ImageStoreError} `name_invalid`, `timeout`, `closed`; what the source throws when it is asked what the name stands for
   * @throws {DiskExportError} `option_invalid` for an option that the format does not have
   */
  createImage(name: string, options?: CreateImageOptions): Promise<ManagedImage>;
  /**
   * Asks for an image that is in the store: by whatever it goes by there, a digest for one. `name` stands for it from now on.
   * @throws {ImageStoreError} `not_found`, `ambiguous`, `name_invalid`, `closed`
   * @throws {DiskExportError} `option_invalid` for an option that the format does not have; the name stands for what it stood for then
   */
  importLocalImage(name: string, target: string, options?: CreateImageOptions): Promise<ManagedImage>;
  /** By name, digest, or the first 7 or more digits of that. @throws {ImageStoreError} `not_found`, `ambiguous` */
  getImage(text: string, options?: GetImageOptions): Promise<ManagedImage>;
  /** The image of a build. @throws {ImageStoreError} `build_cancelled` for one that was deleted */
  getBuild(id: number, options?: CallOptions): Promise<ManagedImage>;
  /**
   * Removes a name with its builds, which are cancelled, and the image if no other name leads to it; by digest, the image with its name. Disks and blobs that nothing
   * else needs go with the next garbage collection.
   *
   * @throws {ImageStoreError} `not_found`, `ambiguous`; `in_use` for a digest with several names, without `force`
   */
  deleteImage(text: string, options?: RemoveOptions & CallOptions): Promise<Removed>;
  /**
   * Waits until an image is ready: told at once by this manager, by others within a second. A build whose manager goes meanwhile is taken over.
   * @throws {ImageStoreError} `build_failed`, `build_cancelled` also when it was deleted meanwhile; `not_found`, `ambiguous`
   * @throws {DatabaseError} when this manager could not go on with it, which `recoverInterruptedBuilds` tries again
   */
  waitForReady(text: string, options?: GetImageOptions): Promise<ManagedImage>;
  /**
   * Waits in the same way until a build has ended, however it has.
   * @throws {ImageStoreError} `build_cancelled` when it was deleted meanwhile
   * @throws {DatabaseError} as `waitForReady` does
   */
  waitForEnd(id: number, options?: CallOptions): Promise<ManagedImage>;
  /** Ends a build that has not ended. False where there is none. */
  cancelBuild(id: number, options?: CallOptions): Promise<boolean>;
  /** Takes over all builds, first ones too, whose manager has been closed or killed. */
  recoverInterruptedBuilds(options?: CallOptions): Promise<Build[]>;
  /** Of all disks as they lie on disk, each once. */
  totalImageBytes(options?: CallOptions): Promise<number>;
  /** Of all blobs, each once. */
  totalOciCacheBytes(options?: CallOptions): Promise<number>;
  countByStatus(options?: CallOptions): Promise<Readonly<Record<BuildStatus, number>>>;
  /**
   * What happens to the builds of this manager from now on, until the signal aborts or the manager is closed. Of progress that was not asked for in time
   * only the latest is told.
   */
  events(options?: CallOptions): AsyncIterable<BuildEvent>;
}

export interface GetImageOptions extends CallOptions {
  platform?: Platform | undefined;
  format?: DiskRequest["format"] | undefined;
}

export interface ImageManagerOptions extends CallOptions {
  sources: OpenImageSource;
  concurrency?: { readonly builds?: number | undefined; readonly layers?: number | undefined } | undefined;
  quotas?: Quotas | undefined;
  hooks?: ManagerHooks | undefined;
  /** How long `createImage` waits to be told what a name stands for; 5,000 by default. */
  resolveTimeoutMs?: number | undefined;
}

const RESOLVE_TIMEOUT_MS = 5000;
const FIRST_POLL_MS = 50;
const LAST_POLL_MS = 1000;
const STATUSES = ["pending", "pulling", "converting", "ready", "failed", "cancelled"] as const;

export async function createImageManager(store: ImageStore, options: ImageManagerOptions): Promise<ImageManager> {
  const { sources, concurrency = {}, hooks = {}, resolveTimeoutMs = RESOLVE_TIMEOUT_MS } = options;
  const events = createBuildEvents();
  const quota = createQuotaGuard(store.directory, options.quotas ?? {});
  const tools = { store, sources, quota, hooks, events, layers: concurrency.layers };
  const changes = new Changes();
  const queue = await openBuildQueue(store, {
    signal: options.signal,
    limit: concurrency.builds,
    work: (run) => buildImage(tools, run),
    onBuild(build) {
      events.emit({ type: "status", build });
      changes.tell();
    },
    onQueue: hooks.onQueue,
  });

  async function request(name: string, digest: Digest, wanted: CreateImageOptions): Promise<ManagedImage> {
    const { id } = await requestBuild(store, queue, { name, digest }, wanted);
    return readById(id, { signal: wanted.signal });
  }

  async function readById(id: number, call: CallOptions): Promise<ManagedImage> {
    const row = await store.database.read(
      (queries) => queries.selectFrom("builds").selectAll().where("id", "=", id).executeTakeFirst(),
      call,
    );
    if (row === undefined) throw new ImageStoreError("build_cancelled", `cannot follow build ${id}: it was deleted`);
    const position = isUnfinished(row.status) ? await queue.position(id, call) : undefined;
    return readManaged(store, row, position, call);
  }

  const manager: ImageManager = {
    queue,
    listImages: (filter = {}, call) =>
      store.database.read((queries) => listManaged(queries, filter, { store, positions: queue.positions() }), call),
    async createImage(name, wanted = {}) {
      wanted.signal?.throwIfAborted();
      checkDisk(wanted);
      const canonical = canonicalName(name);
      const digest = await resolveName(tools, canonical, { timeoutMs: resolveTimeoutMs, signal: wanted.signal });
      return request(canonical, digest, wanted);
    },
    async importLocalImage(name, target, wanted = {}) {
      wanted.signal?.throwIfAborted();
      checkDisk(wanted);
      const canonical = canonicalName(name);
      return request(canonical, await nameLocal(store, canonical, target, { signal: wanted.signal }), wanted);
    },
    async getImage(text, { platform, format, ...call } = {}) {
      const { id } = await store.database.read((queries) => findBuild(queries, text, { platform, format }), call);
      return readById(id, call);
    },
    getBuild: (id, call = {}) => readById(id, call),
    async deleteImage(text, wanted = {}) {
      const removed = await deleteManaged(store, queue, text, wanted);
      changes.tell();
      return removed;
    },
    async waitForReady(text, wanted = {}) {
      const { id } = await manager.getImage(text, wanted);
      const image = await manager.waitForEnd(id, { signal: wanted.signal });
      if (image.status === "ready") return image;
      if (image.status === "failed") {
        throw new ImageStoreError("build_failed", `cannot build ${image.name}: ${image.error}`);
      }
      throw new ImageStoreError("build_cancelled", `cannot wait for ${image.name}: its build was cancelled`);
    },
    async waitForEnd(id, call = {}) {
      for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 2, LAST_POLL_MS)) {
        const seen = changes.count;
        const image = await readById(id, call);
        if (!isUnfinished(image.status)) return image;
        if (pollMs === LAST_POLL_MS) await queue.attend(id, call);
        await changes.after(seen, pollMs, call.signal);
      }
    },
    cancelBuild: (id, call) => queue.cancel(id, call),
    recoverInterruptedBuilds: (call) => queue.recover(call),
    totalImageBytes: (call) => measureStore(store.directory, { ...call, parts: ["disks"] }),
    totalOciCacheBytes: (call) => measureStore(store.directory, { ...call, parts: ["blobs"] }),
    async countByStatus(call) {
      const rows = await store.database.read(
        (queries) =>
          queries
            .selectFrom("builds")
            .select(({ fn }) => ["status", fn.countAll<number>().as("count")])
            .groupBy("status")
            .execute(),
        call,
      );
      const counts = new Map(rows.map(({ status, count }) => [status, count]));
      return Object.fromEntries(STATUSES.map((status) => [status, counts.get(status) ?? 0])) as Record<
        BuildStatus,
        number
      >;
    },
    events: (call) => events.listen(call),
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      events.close();
    },
  };
  return manager;
}

/** Before anything is asked or named: an option that there is not is no request. */
function checkDisk({ disk }: CreateImageOptions): void {
  if (disk !== undefined) canonicalOptions(disk);
}
