import { hostPlatform, isDigest } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Platform } from "@lamella/refs";

import type { BuildQueue } from "./build-queue.js";
import type { Build, BuildRow } from "./build-queue-rows.js";
import { canonicalOptions } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";
import { ImageStoreError } from "./errors.js";
import { asPhase } from "./hooks.js";
import type { ImageStore } from "./image-store.js";
import { contentSource } from "./manager-build.js";
import type { BuildTools } from "./manager-build.js";
import { canonicalName, filtered, readManaged } from "./manager-image.js";
import type { Removed, RemoveOptions } from "./removal.js";

export interface CreateImageOptions extends CallOptions {
  /** This machine's by default. */
  platform?: Platform | undefined;
  /** The smallest ext4 disk by default. */
  disk?: DiskRequest | undefined;
}

/** What a name stands for: what the user has given it to, else what its source says. */
export async function resolveName(
  { store, sources, hooks }: BuildTools,
  name: string,
  { timeoutMs, signal }: CallOptions & { timeoutMs: number },
): Promise<Digest> {
  const [own] = await store.tags({ prefix: name, scope: "local", limit: 1 }, { signal });
  if (own?.name === name) return own.descriptor.digest;
  const late = AbortSignal.timeout(timeoutMs);
  const limit = AbortSignal.any([late, ...(signal === undefined ? [] : [signal])]);
  const ask = async (): Promise<Digest> => {
    const opened = await sources(name, { signal: limit });
    try {
      return (await opened.images.resolve(opened.name, { signal: limit })).digest;
    } finally {
      await opened.close();
    }
  };
  const askInTime = (): Promise<Digest> =>
    ask().catch((error: unknown) => {
      if (!late.aborted || signal?.aborted === true) throw error;
      const message = `cannot find out what ${name} stands for: no answer in ${timeoutMs} ms`;
      throw new ImageStoreError("timeout", message, { cause: error });
    });
  return asPhase(hooks, { phase: "resolve", name }, askInTime, signal);
}

/** Gives a name to an image that is in the store, recorded or not, and tells its digest. */
export async function nameLocal(
  store: ImageStore,
  name: string,
  target: string,
  options: CallOptions,
): Promise<Digest> {
  const source = isDigest(target) ? contentSource(store.content) : store;
  const descriptor = await source.resolve(target, options);
  await store.tag(name, descriptor, options);
  return descriptor.digest;
}

/** The build that has made what is asked for, if all of it is still there, or the one that will. */
export async function requestBuild(
  store: ImageStore,
  queue: BuildQueue,
  image: { readonly name: string; readonly digest: Digest },
  options: CreateImageOptions,
): Promise<Pick<Build, "id">> {
  const { platform = hostPlatform(), disk = { format: "ext4" }, signal } = options;
  const request = { ...image, platform, request: disk };
  const { name, digest } = image;
  const rows = await store.database.read(
    (queries) =>
      filtered(queries, { platform, format: disk.format, status: "ready" })
        .where("name", "=", name)
        .where("root_digest", "=", digest)
        .where("options", "=", canonicalOptions(disk))
        .execute(),
    { signal },
  );
  for (const row of rows) {
    const { status } = await readManaged(store, row, undefined, { signal });
    const root = status === "ready" ? await findContent(store, digest, { signal }) : undefined;
    if (root === undefined) continue;
    await store.tag(name, root, { scope: "registry", signal });
    await askedForLast(store, row, { signal });
    return row;
  }
  return queue.enqueue(request, { stale: rows, signal });
}

/** What a name has come to stand for again is what is meant by it. */
async function askedForLast(
  store: ImageStore,
  { id, name, created_at }: BuildRow,
  options: CallOptions,
): Promise<void> {
  await store.database.write(async (queries) => {
    const later = queries.selectFrom("builds").select("id").where("name", "=", name).where("id", "!=", id);
    if ((await later.where("created_at", ">=", created_at).executeTakeFirst()) === undefined) return;
    await queries.updateTable("builds").set({ created_at: Date.now() }).where("id", "=", id).execute();
  }, options);
}

async function findContent(store: ImageStore, digest: Digest, options: CallOptions): Promise<Descriptor | undefined> {
  return orUndefined(contentSource(store.content).resolve(digest, options));
}

/** Removes an image from the store with its builds, and those that have not made it yet. */
export async function deleteManaged(
  store: ImageStore,
  queue: BuildQueue,
  text: string,
  { force, signal }: RemoveOptions & CallOptions,
): Promise<Removed> {
  const asked = await buildsOf(store, text, { signal });
  const removing = store.remove(text, { force, signal });
  const removed = asked.length === 0 ? await removing : await orUndefined(removing);
  const { names, images } = removed ?? { names: [], images: [] };
  for (const { id } of asked) await queue.cancel(id);
  const gone = new Set(names);
  for (const { name, root_digest } of asked) {
    // it may have been ready just before
    const [tag] = await store.tags({ prefix: name, limit: 1 });
    if (tag?.name === name && tag.descriptor.digest === root_digest) await store.untag(name);
    gone.add(name);
  }
  const ids = asked.map(({ id }) => id);
  await store.database.write((queries) =>
    queries
      .deleteFrom("builds")
      .where(({ or, and, eb }) =>
        or([eb("id", "in", ids), and([eb("status", "=", "ready"), eb("manifest_digest", "in", images)])]),
      )
      .execute(),
  );
  return { names: [...gone].toSorted(), images };
}

/** By name only those of this name, by digest all of the image. */
async function buildsOf(
  store: ImageStore,
  text: string,
  options: CallOptions,
): Promise<Pick<BuildRow, "id" | "name" | "root_digest">[]> {
  return store.database.read((queries) => {
    const builds = queries.selectFrom("builds").select(["id", "name", "root_digest"]);
    if (!isDigest(text)) return builds.where("name", "=", canonicalNameOf(text) ?? text).execute();
    return builds.where(({ or, eb }) => or([eb("root_digest", "=", text), eb("manifest_digest", "=", text)])).execute();
  }, options);
}

function canonicalNameOf(text: string): string | undefined {
  try {
    return canonicalName(text);
  } catch (error) {
    if (error instanceof ImageStoreError) return undefined;
    throw error;
  }
}

async function orUndefined<Value>(finding: Promise<Value>): Promise<Value | undefined> {
  try {
    return await finding;
  } catch (error) {
    if (error instanceof ImageStoreError && error.code === "not_found") return undefined;
    throw error;
  }
}
