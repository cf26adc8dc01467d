import { gzipSync } from "node:zlib";

import { OpenAPIHono } from "@hono/zod-openapi";
import { createImageManager, openImageStore } from "@lamella/image-store";
import type { ImageManager, ImageStore, OpenImageSource } from "@lamella/image-store";
import { digestOf, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";

import type { ApiContext } from "../src/api/context.js";
import { openEventLog } from "../src/api/event-log.js";
import { answerProblem } from "../src/api/problem.js";
import { createNbdAttachments } from "../src/nbd-attachments.js";
import { createOpenImages } from "../src/open-images.js";
import type { OpenImagesOptions } from "../src/open-images.js";
import { lazySnapshots } from "../src/snapshots.js";
import { temporaryDirectory } from "./fixture.js";
import { add, addJson, PLATFORM, tarOf } from "./sample-images.js";
import type { TarEntry } from "./sample-images.js";

/** Puts an image into a store as a push does: blobs and a name, no layer archive. */
export async function pushImage(
  store: ImageStore,
  name: string,
  layers: readonly (readonly TarEntry[])[],
  history: readonly object[] = [],
): Promise<Descriptor> {
  const tars = await Promise.all(layers.map(tarOf));
  const descriptors: Descriptor[] = [];
  for (const tar of tars) descriptors.push(await add(store, OCI_LAYER_GZIP, gzipSync(tar)));
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const config = await addJson(store, OCI_CONFIG, { ...PLATFORM, rootfs, history, config: {} });
  const manifest = await addJson(store, OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: descriptors,
  });
  await store.tag(name, manifest);
  return manifest;
}

export function symlink(path: string, linkTarget: string): TarEntry {
  return { path, kind: "symlink", mode: 0o777, linkTarget, size: linkTarget.length };
}

export interface ServedStore extends AsyncDisposable {
  readonly root: string;
  readonly store: ImageStore;
  readonly manager: ImageManager;
  readonly context: ApiContext;
  readonly errors: unknown[];
  readonly stopping: AbortController;
  /** An API with the routes that are added to it. */
  serve(...add: readonly ((api: OpenAPIHono, context: ApiContext) => void)[]): OpenAPIHono;
}

/** A store and what routes need of a daemon, closed and removed at the end. */
export async function serveStore(
  images: Partial<OpenImagesOptions> = {},
  sources: OpenImageSource = () => Promise.reject(new Error("no source")),
): Promise<ServedStore> {
  const directory = await temporaryDirectory();
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const stopping = new AbortController();
  const store = await openImageStore(directory.path);
  const manager = await createImageManager(store, { sources });
  const events = openEventLog(manager, { stopping: stopping.signal });
  const openImages = createOpenImages(store, { onError, ...images });
  const attachments = createNbdAttachments(store, { onError });
  const snapshots = lazySnapshots(directory.path, "tree");
  const context: ApiContext = {
    store,
    manager,
    events,
    attachments,
    pushed: { pushed: async () => {}, forget: async () => {} },
    defaults: { platform: PLATFORM, disk: { format: "ext4" } },
    openImages,
    openSnapshots: snapshots.open,
    stopping: stopping.signal,
    version: "0.0.0",
    onError,
  };
  const resources = [events, attachments, openImages, snapshots, manager, store, directory];
  return {
    root: directory.path,
    store,
    manager,
    context,
    errors,
    stopping,
    serve(...add) {
      const api = new OpenAPIHono();
      api.onError((error, c) => answerProblem(error, c, onError));
      for (const addRoutes of add) addRoutes(api, context);
      return api;
    },
    async [Symbol.asyncDispose]() {
      for (const resource of resources) await resource[Symbol.asyncDispose]();
    },
  };
}

/** The leases that somebody holds. */
export async function leasesOf(store: ImageStore): Promise<string[]> {
  const rows = await store.database.read((queries) => queries.selectFrom("leases").select("purpose").execute());
  return rows.map(({ purpose }) => purpose).toSorted();
}
