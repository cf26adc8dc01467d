import { createHash } from "node:crypto";

import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { ImageStoreError } from "@lamella/image-store";
import type { DiskRequest, ManagedImage } from "@lamella/image-store";
import { parsePlatform } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import { jsonAnswer, PROBLEM } from "./answers.js";
import type { ApiContext } from "./context.js";
import { createIdempotentAnswers } from "./idempotency.js";
import { hasEnded, imageDocument } from "./image-document.js";
import type { ImageDocument } from "./image-document.js";
import { linkSignals } from "./linked-signal.js";
import { CreateImage, Format, Image, Platform, Status } from "./schemas.js";

const MAX_WAIT_SECONDS = 60;
const MAX_KEY_LENGTH = 255;
const MS = 1000;

/** The parameter `name` of the routes of one image. */
export const ImageName = z.object({
  name: z.string().min(1).openapi({
    description: "A name, a digest, or the first 7 or more digits of one; `/` as %2F",
    example: "alpine:3.20",
  }),
});

/** Which of several that go by one name is meant: the one that was asked for last, of these. */
export const WhichImage = z.object({ platform: Platform.optional(), format: Format.optional() });

const Wait = z.object({
  wait: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_WAIT_SECONDS)
    .optional()
    .openapi({ type: "integer", description: "Seconds to wait at most until the build has ended" }),
});

const listRoute = createRoute({
  method: "get",
  path: "/images",
  operationId: "listImages",
  summary: "All images, the one that was asked for last first",
  request: { query: WhichImage.extend({ status: Status.optional() }) },
  responses: { 200: jsonAnswer(z.array(Image), "Images"), ...PROBLEM },
});

const createImageRoute = createRoute({
  method: "post",
  path: "/images",
  operationId: "createImage",
  summary: "Asks for the disk of an image",
  description:
    "What is there, and what is being built, is not built again; what has failed or was cancelled is. A request that is sent again under the same `Idempotency-Key` within a day, to the same run of the daemon, is answered as it was.",
  request: {
    query: Wait,
    headers: z.object({ "idempotency-key": z.string().min(1).max(MAX_KEY_LENGTH).optional() }),
    body: { required: true, content: { "application/json": { schema: CreateImage } } },
  },
  responses: {
    202: { ...jsonAnswer(Image, "The image, ready or not"), headers: z.object({ Location: z.string() }) },
    ...PROBLEM,
  },
});

const getRoute = createRoute({
  method: "get",
  path: "/images/{name}",
  operationId: "getImage",
  summary: "One image",
  request: { params: ImageName, query: WhichImage.extend(Wait.shape) },
  responses: { 200: jsonAnswer(Image, "The image"), ...PROBLEM },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/images/{name}",
  operationId: "deleteImage",
  summary: "Removes a name, and the image if no other name leads to it",
  description:
    "Builds under the name are cancelled. Bytes that nothing else needs go with the next garbage collection.",
  request: {
    params: ImageName,
    query: z.object({
      force: z
        .stringbool()
        .optional()
        .openapi({ type: "boolean", description: "By digest: with all its names, however many there are" }),
    }),
  },
  responses: { 204: { description: "It is gone" }, ...PROBLEM },
});

const cancelRoute = createRoute({
  method: "post",
  path: "/images/{name}/cancel",
  operationId: "cancelImage",
  summary: "Ends the build of an image; one that has ended stays as it is",
  request: { params: ImageName, query: WhichImage },
  responses: { 200: jsonAnswer(Image, "The image"), ...PROBLEM },
});

/** Images: asked for, listed, looked at, cancelled and deleted. */
export function addImageRoutes(api: OpenAPIHono, context: ApiContext): void {
  const { manager, events } = context;
  const answers = createIdempotentAnswers();
  const documentOf = (image: ManagedImage): ImageDocument => imageDocument(image, events);

  api.openapi(listRoute, async (c) => {
    const { status, ...which } = c.req.valid("query");
    const images = await manager.listImages({ ...selectionOf(which), status }, { signal: c.req.raw.signal });
    return c.json(images.map(documentOf), 200);
  });

  api.openapi(createImageRoute, async (c) => {
    const wanted = c.req.valid("json");
    const { wait = 0 } = c.req.valid("query");
    const { "idempotency-key": key } = c.req.valid("header");
    const { signal } = c.req.raw;
    // others may wait for what is done under a key: it does not end with its first client
    const create = async (call: CallOptions): Promise<ImageDocument> =>
      documentOf(await createImage(context, wanted, call));
    const created =
      key === undefined
        ? await create({ signal })
        : (JSON.parse(
            await answers.once(key, fingerprintOf(wanted), async () => JSON.stringify(await create({}))),
          ) as ImageDocument);
    const document = wait === 0 ? created : documentOf(await waitForEnd(context, created.id, { wait, signal }));
    return c.json(document, 202, { Location: `/images/${encodeURIComponent(document.name)}` });
  });

  api.openapi(getRoute, async (c) => {
    const { name } = c.req.valid("param");
    const { wait = 0, ...which } = c.req.valid("query");
    const { signal } = c.req.raw;
    const image = await manager.getImage(name, { ...selectionOf(which), signal });
    if (wait === 0 || hasEnded(image)) return c.json(documentOf(image), 200);
    return c.json(documentOf(await waitForEnd(context, image.id, { wait, signal })), 200);
  });

  api.openapi(deleteRoute, async (c) => {
    const { name } = c.req.valid("param");
    const { names } = await manager.deleteImage(name, { ...c.req.valid("query"), signal: c.req.raw.signal });
    for (const each of names) await context.pushed.forget(each);
    return c.body(null, 204);
  });

  api.openapi(cancelRoute, async (c) => {
    const { signal } = c.req.raw;
    const image = await manager.getImage(c.req.valid("param").name, { ...selectionOf(c.req.valid("query")), signal });
    await manager.cancelBuild(image.id, { signal });
    return c.json(documentOf(await manager.getBuild(image.id, { signal })), 200);
  });
}

/** What the parameters `platform` and `format` say. */
export function selectionOf({ platform, format }: z.infer<typeof WhichImage>) {
  return { platform: platform === undefined ? undefined : parsePlatform(platform), format };
}

async function createImage(
  { manager, defaults }: ApiContext,
  { name, from, platform, ...disk }: z.infer<typeof CreateImage>,
  { signal }: CallOptions,
): Promise<ManagedImage> {
  const options = {
    platform: platform === undefined ? defaults.platform : parsePlatform(platform),
    disk: diskOf(disk, defaults.disk),
    signal,
  };
  return from === undefined ? manager.createImage(name, options) : manager.importLocalImage(name, from, options);
}

/** What is not said is as it is for all images; another format has nothing of those options. */
function diskOf({ format, options }: Pick<z.infer<typeof CreateImage>, "format" | "options">, usual: DiskRequest) {
  return (format === undefined ? { ...usual, ...options } : { ...options, format }) as DiskRequest;
}

interface Waiting {
  readonly wait: number;
  readonly signal: AbortSignal;
}

/** The image when its build has ended, or as it is after so many seconds, or when the daemon stops. */
async function waitForEnd(
  { manager, stopping }: ApiContext,
  id: number,
  { wait, signal }: Waiting,
): Promise<ManagedImage> {
  using enough = linkSignals(signal, stopping);
  const timer = setTimeout(() => enough.abort(), wait * MS);
  try {
    return await manager.waitForEnd(id, { signal: enough.signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!enough.signal.aborted || error instanceof ImageStoreError) throw error;
    return await manager.getBuild(id, { signal });
  } finally {
    clearTimeout(timer);
  }
}

function fingerprintOf(request: z.infer<typeof CreateImage>): string {
  return createHash("sha256").update(JSON.stringify(request)).digest("hex");
}
