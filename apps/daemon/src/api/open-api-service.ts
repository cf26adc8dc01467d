import type { ImageManager, ImageStore } from "@lamella/image-store";
import { Hono } from "hono";

import { createNbdAttachments } from "../nbd-attachments.js";
import { createApi } from "./api.js";
import type { ApiContext } from "./context.js";
import { openEventLog } from "./event-log.js";
import { createPushedImages } from "./pushed-images.js";

type ApiServiceOptions = Pick<
  ApiContext,
  "defaults" | "openImages" | "openSnapshots" | "stopping" | "version" | "onError"
>;

/** The HTTP API over a store and its manager. Whoever opened it disposes of it before those. */
export interface ApiService extends AsyncDisposable {
  readonly api: Hono;
  /** For a registry in the same store: what was pushed as a tag becomes an image. What goes wrong with that is told to `onError`. */
  tagged(repository: string, tag: string, digest: string): Promise<void>;
}

export function openApi(store: ImageStore, manager: ImageManager, options: ApiServiceOptions): ApiService {
  const { defaults, stopping, onError } = options;
  const events = openEventLog(manager, { stopping });
  const attachments = createNbdAttachments(store, { onError });
  const pushed = createPushedImages({ store, manager, defaults });
  return {
    api: new Hono().route("/", createApi({ store, manager, events, attachments, pushed, ...options })),
    async tagged(repository, tag, digest) {
      try {
        await pushed.pushed(repository, tag, digest);
      } catch (error) {
        onError(error);
      }
    },
    async [Symbol.asyncDispose]() {
      await events[Symbol.asyncDispose]();
      await attachments[Symbol.asyncDispose]();
    },
  };
}
