import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { ImageStoreError } from "@lamella/image-store";
import type { Build, ManagedImage } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";

import { PROBLEM } from "./answers.js";
import type { ApiContext, LoggedEvent } from "./context.js";
import { streamEvents, withHeartbeats } from "./event-stream.js";
import type { StreamEvent } from "./event-stream.js";
import { hasEnded, imageDocument } from "./image-document.js";
import { ImageName, selectionOf, WhichImage } from "./images.js";
import { linkSignals } from "./linked-signal.js";
import type { DiskEvent, LayerEvent } from "./schemas.js";

const MAX_ID_LENGTH = 64;

const After = z.object({
  "last-event-id": z
    .string()
    .max(MAX_ID_LENGTH)
    .optional()
    .openapi({ description: "The last one that was received: what came after it is told first" }),
});

const EVENTS = {
  description: "Events `status` (data: Image), `layer` and `disk` (how far each is)",
  content: { "text/event-stream": { schema: z.string() } },
} as const;

const allRoute = createRoute({
  method: "get",
  path: "/events",
  operationId: "allEvents",
  summary: "What happens to images, as server-sent events",
  description:
    "Begins with a `status` of every image whose build has not ended, unless it goes on after a known event. Whoever lists images after this has begun misses nothing. Whoever is too slow is sent away, to come again.",
  request: { headers: After },
  responses: { 200: EVENTS, ...PROBLEM },
});

const imageRoute = createRoute({
  method: "get",
  path: "/images/{name}/events",
  operationId: "imageEvents",
  summary: "What happens to one image, as server-sent events, until its build has ended",
  description: "Begins with a `status` of it, unless it goes on after a known event.",
  request: { params: ImageName, query: WhichImage, headers: After },
  responses: { 200: EVENTS, ...PROBLEM },
});

/** What happens to images, told as it happens. */
export function addEventRoutes(api: OpenAPIHono, context: ApiContext): void {
  const { manager, stopping, onError } = context;

  api.openapi(allRoute, (c) => {
    const after = c.req.valid("header")["last-event-id"];
    const until = linkSignals(c.req.raw.signal, stopping);
    return streamEvents(allEvents(context, after, until), { until, onError });
  });

  api.openapi(imageRoute, async (c) => {
    const after = c.req.valid("header")["last-event-id"];
    const which = selectionOf(c.req.valid("query"));
    const image = await manager.getImage(c.req.valid("param").name, { ...which, signal: c.req.raw.signal });
    const until = linkSignals(c.req.raw.signal, stopping);
    return streamEvents(imageEvents(context, { image, after }, until), { until, onError });
  });
}

/** In the order in which a build goes through them: one that goes on meanwhile is told twice, not left out. */
const UNFINISHED = ["pending", "pulling", "converting"] as const;

async function* allEvents(
  context: ApiContext,
  after: string | undefined,
  { signal }: CallOptions,
): AsyncGenerator<StreamEvent | undefined> {
  const { events, manager } = context;
  const id = events.latest;
  const isKnown = after !== undefined && events.knows(after);
  const heard = events.listen({ after, signal });
  if (!isKnown) {
    for (const status of UNFINISHED) {
      for (const image of await manager.listImages({ status }, { signal })) yield statusOf(context, id, image);
    }
  }
  for await (const each of withHeartbeats(heard)) {
    yield each === undefined ? undefined : streamEventOf(context, each, { signal });
  }
}

interface FollowedImage {
  readonly image: ManagedImage;
  readonly after: string | undefined;
}

async function* imageEvents(
  context: ApiContext,
  { image, after }: FollowedImage,
  { signal }: CallOptions,
): AsyncGenerator<StreamEvent | undefined> {
  const { events } = context;
  let id = events.latest;
  const isKnown = after !== undefined && events.knows(after);
  const heard = events.listen({ after, name: image.name, signal });
  let told = await readAgain(context, image, { signal });
  if (!isKnown || hasEnded(told)) yield statusOf(context, id, told);
  if (hasEnded(told)) return;
  for await (const each of withHeartbeats(heard)) {
    if (each === undefined) {
      // another process may be at it, or have deleted it
      const now = await readAgain(context, image, { signal });
      if (now.status === told.status) yield undefined;
      else yield statusOf(context, id, now);
      if (hasEnded(now)) return;
      told = now;
      continue;
    }
    id = each.id;
    const { event } = each;
    if ((event.type === "status" ? event.build.id : event.id) !== image.id) continue;
    yield streamEventOf(context, each, { signal });
    if (event.type !== "status") continue;
    told = { ...image, ...event.build };
    if (hasEnded(told)) return;
  }
}

/** One that was deleted meanwhile was cancelled. */
async function readAgain(
  { manager }: Pick<ApiContext, "manager">,
  image: ManagedImage,
  call: CallOptions,
): Promise<ManagedImage> {
  try {
    return await manager.getBuild(image.id, call);
  } catch (error) {
    if (!(error instanceof ImageStoreError) || error.code !== "build_cancelled") throw error;
    return { ...image, status: "cancelled", queuePosition: undefined, built: undefined };
  }
}

function statusOf({ events }: ApiContext, id: string, image: ManagedImage): StreamEvent {
  return { id, event: "status", data: imageDocument(image, events) };
}

async function streamEventOf(context: ApiContext, { id, event }: LoggedEvent, call: CallOptions): Promise<StreamEvent> {
  if (event.type === "status") return statusOf(context, id, await imageOf(context, event.build, call));
  const about = { id: event.id, name: event.name };
  if (event.type === "disk") {
    const data: z.infer<typeof DiskEvent> = { ...about, done_bytes: event.doneBytes, total_bytes: event.totalBytes };
    return { id, event: "disk", data };
  }
  const { layer, state, cached, doneBytes, totalBytes } = event.progress;
  const data: z.infer<typeof LayerEvent> = {
    ...about,
    layer,
    state,
    cached,
    done_bytes: doneBytes,
    total_bytes: totalBytes,
  };
  return { id, event: "layer", data };
}

/** A build as it was then, with what it has made if that is still so. */
async function imageOf({ manager }: ApiContext, build: Build, call: CallOptions): Promise<ManagedImage> {
  const then = { ...build, queuePosition: undefined, built: undefined };
  if (build.status === "failed" || build.status === "cancelled") return then;
  if (build.status !== "ready") return { ...then, queuePosition: await manager.queue.position(build.id, call) };
  const now = await readAgain({ manager }, then, call);
  return now.status === "ready" && now.attempts === build.attempts ? now : then;
}
