import { gzipSync } from "node:zlib";

import { OpenAPIHono } from "@hono/zod-openapi";
import { createImageManager, openImageStore } from "@lamella/image-store";
import type { ImageManager, ImageStore, OpenImageSource } from "@lamella/image-store";
import { writeTar } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
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

export type TarEntry = Partial<TarInput> & { path: string; text?: string };

export const PLATFORM = { os: "linux", architecture: "amd64" };

/** Puts an image into a store as a push does: blobs and a name, no layer archive. */
export async function pushImage(
  store: ImageStore,
  name: string,
  layers: readonly (readonly TarEntry[])[],
  history: readonly object[] = [],
): Promise<Descriptor> {
  const push = async (mediaType: string, bytes: Uint8Array): Promise<Descriptor> => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    await store.content.push(descriptor, asyncly([bytes]));
    return descriptor;
  };
  const json = (mediaType: string, document: object): Promise<Descriptor> =>
    push(mediaType, new TextEncoder().encode(JSON.stringify(document)));
  const tars = await Promise.all(layers.map(tarOf));
  const descriptors: Descriptor[] = [];
  for (const tar of tars) descriptors.push(await push(OCI_LAYER_GZIP, gzipSync(tar)));
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const config = await json(OCI_CONFIG, { ...PLATFORM, rootfs, history, config: {} });
  const manifest = await json(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: descriptors,
  });
  await store.tag(name, manifest);
  return manifest;
}

async function tarOf(entries: readonly TarEntry[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(asyncly(entries.map(tarInput)))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function tarInput({ text, ...entry }: TarEntry): TarInput {
  const bytes = new TextEncoder().encode(text ?? "");
  return {
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: bytes.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    async *contents() {
      yield bytes;
    },
    ...entry,
  };
}

export function symlink(path: string, linkTarget: string): TarEntry {
  return { path, kind: "symlink", mode: 0o777, linkTarget, size: linkTarget.length };
}

async function* asyncly<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items;
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
