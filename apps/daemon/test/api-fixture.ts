import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createImageManager, ImageStoreError, openImageStore } from "@lamella/image-store";
import type { ImageManager, ImageStore } from "@lamella/image-store";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Descriptor } from "@lamella/refs";

import { createApi } from "../src/api/api.js";
import type { ApiContext, NbdAttachments } from "../src/api/context.js";
import { openEventLog } from "../src/api/event-log.js";
import type { ImageDocument } from "../src/api/image-document.js";
import { createPushedImages } from "../src/api/pushed-images.js";
import { createOpenImages } from "../src/open-images.js";
import { addImage, PLATFORM } from "./sample-images.js";
import type { SampleImage } from "./sample-images.js";

export const ALPINE = "docker.io/library/alpine:latest";
/** The smallest that is made. */
const DEFAULTS = { platform: PLATFORM, disk: { format: "erofs" } } as const;

export interface TestApi extends AsyncDisposable {
  readonly api: OpenAPIHono;
  readonly context: ApiContext;
  readonly store: ImageStore;
  readonly manager: ImageManager;
  /** What images are pulled from, by their canonical names. */
  readonly registry: ImageStore;
  readonly errors: unknown[];
  readonly stop: AbortController;
  /** Puts an image where it can be pulled from. */
  serve(name: string, sample?: SampleImage): Promise<Descriptor>;
  /** Until the function is called, no layer is served. */
  shut(): () => void;
  request(path: string, init?: RequestInit): Promise<Response>;
  /** Asks for an image, and gives the answer. */
  create(body: object, init?: { query?: string; headers?: Record<string, string> }): Promise<Response>;
  /** One image as the API shows it, when its build has ended. */
  ended(name: string): Promise<ImageDocument>;
}

const NO_DISKS: NbdAttachments = {
  attach: () => Promise.reject(new Error("nothing is attached here")),
  detach: async () => false,
  list: () => [],
  async [Symbol.asyncDispose]() {},
};

/** The API over an empty store, whose images come from another store. */
export async function openTestApi(): Promise<TestApi> {
  const directory = await mkdtemp(join(tmpdir(), "lamellad-api-"));
  const registry = await openImageStore(join(directory, "registry"));
  const store = await openImageStore(join(directory, "store"));
  let gate: Promise<void> | undefined;
  const gated: ImageStore = {
    ...registry,
    async *fetch(descriptor, call) {
      if (descriptor.mediaType.includes("tar")) await gate;
      call?.signal?.throwIfAborted();
      yield* registry.fetch(descriptor, call);
    },
  };
  const manager = await createImageManager(store, {
    async sources(name) {
      if (name.startsWith("broken.example")) throw new ImageStoreError("io_failed", `cannot read ${directory}`);
      return { images: gated, name, close: async () => {} };
    },
    concurrency: { builds: 1 },
  });
  const stop = new AbortController();
  const errors: unknown[] = [];
  const events = openEventLog(manager, { stopping: stop.signal });
  const onError = (error: unknown): unknown => errors.push(error);
  const openImages = createOpenImages(store, { onError });
  const context: ApiContext = {
    store,
    manager,
    events,
    attachments: NO_DISKS,
    pushed: createPushedImages({ store, manager, defaults: DEFAULTS }),
    defaults: DEFAULTS,
    openImages,
    openSnapshots: () => Promise.reject(new Error("there are no snapshots here")),
    stopping: stop.signal,
    version: "1.2.3",
    onError,
  };
  const api = createApi(context);
  const request = async (path: string, init?: RequestInit): Promise<Response> => api.request(path, init);
  return {
    api,
    context,
    store,
    manager,
    registry,
    errors,
    stop,
    request,
    async serve(name, sample) {
      const descriptor = await addImage(registry, sample);
      await registry.tag(name, descriptor);
      return descriptor;
    },
    shut() {
      let open: () => void = () => {};
      gate = new Promise((resolve) => (open = resolve));
      return () => {
        gate = undefined;
        open();
      };
    },
    create: (body, { query = "", headers = {} } = {}) =>
      request(`/images${query}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "Content-Type": "application/json", ...headers },
      }),
    async ended(name) {
      const response = await request(`/images/${encodeURIComponent(name)}?wait=30`);
      return (await response.json()) as ImageDocument;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await events[Symbol.asyncDispose]();
      await openImages[Symbol.asyncDispose]();
      for (const each of [manager, store, registry]) await each[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}
