import { join } from "node:path";

import { openDatabase } from "@lamella/database";
import type { Database, Transaction } from "@lamella/database";
import { quote } from "@lamella/refs";
import type { CallOptions, Descriptor, ImageSource, Platform } from "@lamella/refs";

import type { CheckOptions, Finding } from "./check.js";
import { openContentStore } from "./content-store.js";
import type { ContentStore } from "./content-store.js";
import { recordImage } from "./database/images.js";
import { MIGRATIONS } from "./database/migrations.js";
import { describeRoot, findRoot } from "./database/roots.js";
import type { StoreSchema, TagScope } from "./database/schema.js";
import { listTags, removeTags, setTag } from "./database/tags.js";
import type { Tag, TagFilter } from "./database/tags.js";
import { ImageStoreError } from "./errors.js";
import type { GcOptions, GcReport } from "./gc.js";
import type { Image } from "./image.js";
import { startLayoutSync } from "./layout-sync.js";
import { withLease } from "./lease.js";
import type { Lease, LeaseItem, LeaseOptions } from "./lease.js";
import { readPresent } from "./present.js";
import { removeImage } from "./removal.js";
import type { Removed, RemoveOptions } from "./removal.js";
import { readImagePage, readStoredImage } from "./stored-image.js";
import type { ImageFilter, ListedImage, PageEnd, StoredImage } from "./stored-image.js";
import { explained, explainedEach } from "./system-error.js";
import { readUsage } from "./usage.js";
import type { Usage } from "./usage.js";

/**
 * The images of one directory, for any number of processes at once.
 *
 * Blobs and layer archives are files that are there whole or not at all; what they are is in a database, `lamella.db`. An image is
 * recorded when all of it is there. Names are tags of the database; `index.json` follows them, so that the directory is an OCI layout
 * that other tools read as it stands, and what those add to it is found when the store is opened.
 *
 * A text stands for an image by its name, by the reference that it is short for (`alpine`), by digest, or by the first 7 or more hex
 * digits of its SHA-256. Of an index with several platforms in the store, `platform` chooses.
 *
 * As a source it resolves such texts, and fetches blobs. Whoever opened the store disposes of it, which waits for `index.json`.
 */
export interface ImageStore extends ImageSource, AsyncDisposable {
  readonly directory: string;
  readonly content: ContentStore;
  readonly database: Database<StoreSchema>;
  /** @throws {ImageStoreError} `not_found`, `ambiguous` */
  get(text: string, options?: GetOptions): Promise<StoredImage>;
  /**
   * Images in the order of their digests: by each root that has a name; those without any, by their manifest. Read a page at a time, so
   * what changes meanwhile may be among them or not.
   */
  list(filter?: ImageFilter, options?: CallOptions): AsyncIterable<ListedImage>;
  /** Names in the order of their bytes, also those of artifacts that are no images. */
  tags(filter?: TagFilter, options?: CallOptions): Promise<Tag[]>;
  /**
   * Gives a name to what a text stands for, or to a manifest or an index whose blob is there; another image loses the name. Images that are
   * whole by then are recorded.
   *
   * @throws {ImageStoreError} `not_found`, `ambiguous`, `name_taken`, `name_invalid`
   */
  tag(name: string, target: string | Descriptor, options?: TagOptions): Promise<void>;
  /** Removes a name as it stands and nothing else. False where there was none. */
  untag(name: string, options?: CallOptions): Promise<boolean>;
  /**
   * Removes a name, and the images that no other leads to; by digest, the image with its name. Their bytes go with the next garbage collection.
   * @throws {ImageStoreError} `not_found`, `ambiguous`; `in_use` for a digest with several names, without `force`
   */
  remove(text: string, options?: RemoveOptions & CallOptions): Promise<Removed>;
  /** Records an image whose blobs are all there and held by a lease, and names it, in one transaction. @throws as `tag` does */
  record(image: Image, options?: RecordOptions): Promise<void>;
  usage(options?: CallOptions): Promise<Usage>;
  /** Keeps garbage collection, by whichever process, from what `use` needs. */
  lease<Result>(
    purpose: string,
    items: readonly LeaseItem[],
    use: (lease: Lease) => Promise<Result>,
    options?: LeaseOptions,
  ): Promise<Result>;
  /**
   * Removes the images to which no name leads, and the bytes that no image, name, lease or build under way needs. Safe beside all that others do.
   * @throws {ImageStoreError} `store_invalid` for a damaged index or manifest, before anything is removed
   */
  gc(options?: GcOptions): Promise<GcReport>;
  /**
   * Reads all of the store and compares it: blobs, images, names, layer archives, disks, `index.json`. Gives what is wrong as it is found, mended if
   * that was asked for. Others may use the store meanwhile.
   */
  check(options?: CheckOptions): AsyncIterable<Finding>;
  /** Waits until `index.json` says what the tags say. */
  flush(options?: CallOptions): Promise<void>;
}

export interface GetOptions extends CallOptions {
  platform?: Platform | undefined;
}

export interface TagOptions extends CallOptions {
  /** `registry`: the name is what a registry has under it, and moves none of the user's. `local` by default. */
  scope?: TagScope | undefined;
  /** Refuses a name that stands for something else already, with `name_taken`. */
  onlyIfFree?: boolean | undefined;
}

export interface RecordOptions extends TagOptions {
  name?: string | undefined;
  /** Done in the same transaction, after it. Rejecting undoes all of it. */
  also?: ((queries: Transaction<StoreSchema>) => Promise<void>) | undefined;
}

export interface OpenImageStoreOptions extends CallOptions {
  /** How long a write waits for those of others; 30,000 by default. */
  busyTimeoutMs?: number | undefined;
}

/**
 * Opens the store in a directory, which is made if need be.
 * @throws {ImageStoreError} `store_invalid`; `no_space`, `too_many_files`, `io_failed`, as all that reads or writes files
 * @throws {DatabaseError} as `openDatabase` does
 */
export async function openImageStore(directory: string, options: OpenImageStoreOptions = {}): Promise<ImageStore> {
  return explained(`open the store ${quote(directory)}`, () => open(directory, options));
}

async function open(directory: string, options: OpenImageStoreOptions): Promise<ImageStore> {
  const content = await openContentStore(directory, options);
  const path = join(directory, "lamella.db");
  const database = await openDatabase<StoreSchema>(path, { ...options, migrations: MIGRATIONS });
  try {
    const layout = await startLayoutSync({ content, database }, options);

    const change = async <Result>(
      work: (queries: Transaction<StoreSchema>) => Promise<Result>,
      call: CallOptions,
    ): Promise<Result> => {
      const result = await database.write(work, call);
      layout.changed();
      return result;
    };

    const store: ImageStore = {
      directory,
      content,
      database,
      fetch: content.fetch,
      resolve: (text, call) =>
        database.read(async (queries) => describeRoot(queries, await findRoot(queries, text)), call),
      get: (text, { platform, ...call } = {}) =>
        database.read(async (queries) => readStoredImage(queries, await findRoot(queries, text), platform), call),
      async *list(filter = {}, call = {}) {
        let end: PageEnd | undefined;
        do {
          const page = await database.read((queries) => readImagePage(queries, filter, end), call);
          yield* page.images;
          end = page.end;
        } while (end !== undefined);
      },
      tags: (filter = {}, call) => database.read((queries) => listTags(queries, filter), call),
      async tag(name, target, { scope = "local", onlyIfFree, ...call } = {}) {
        if (typeof target !== "string") {
          const tag = { name, descriptor: target, scope, onlyIfFree };
          return explained(`name ${target.digest}`, () => tagContent(tag, call));
        }
        await change(async (queries) => {
          const descriptor = await describeRoot(queries, await findRoot(queries, target));
          await setTag(queries, { name, descriptor, scope, onlyIfFree });
        }, call);
      },
      untag: (name, call = {}) => change(async (queries) => (await removeTags(queries, [name])).length > 0, call),
      remove: (text, { force, ...call } = {}) => change((queries) => removeImage(queries, text, { force }), call),
      async record(image, { name, scope = "local", onlyIfFree, also, ...call } = {}) {
        await change(async (queries) => {
          await recordImage(queries, image);
          if (name !== undefined) await setTag(queries, { name, descriptor: image.root, scope, onlyIfFree });
          await also?.(queries);
        }, call);
      },
      usage: (call) => database.read(readUsage, call),
      lease: (purpose, items, use, call) => withLease(database, { purpose, items }, use, call),
      // what only some programs do is loaded when it is done
      gc: (call) => explained("collect garbage", async () => (await import("./gc.js")).collectGarbage(store, call)),
      async *check(call) {
        const { checkStore } = await import("./check.js");
        yield* explainedEach("check the store", checkStore(store, call));
      },
      flush: (call) => explained("write index.json", () => layout.flush(call)),
      [Symbol.asyncDispose]: () => (closing ??= close()),
    };
    let closing: Promise<void> | undefined;

    async function close(): Promise<void> {
      try {
        await explained("write index.json", () => layout.close());
      } finally {
        await database[Symbol.asyncDispose]();
      }
    }

    async function tagContent(tag: Parameters<typeof setTag>[1], call: CallOptions): Promise<void> {
      const { descriptor } = tag;
      const before = await readPresent(content, descriptor, call);
      const diffIDs = before.images.flatMap(({ layers }) => layers.map(({ diffID }) => diffID));
      const items = [
        ...[...before.blobs].map((ref) => ({ kind: "blob", ref }) as const),
        ...diffIDs.map((ref) => ({ kind: "layer", ref }) as const),
      ];
      await store.lease(`tag ${descriptor.digest}`, items, async () => {
        // what was there before the lease may have gone
        const { images } = await readPresent(content, descriptor, call);
        if ((await content.stat(descriptor.digest, call)) !== descriptor.size) {
          throw new ImageStoreError("not_found", `cannot name ${descriptor.digest}: its blob is not in the store`);
        }
        await change(async (queries) => {
          for (const image of images) await recordImage(queries, image);
          await setTag(queries, tag);
        }, call);
      });
    }

    return store;
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}
