import { createHash } from "node:crypto";

import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { ImageStoreError } from "@lamella/image-store";
import type { StoredImage } from "@lamella/image-store";
import { displayPath } from "@lamella/layer-format";
import { parsePlatform, quote } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import { DaemonError } from "../errors.js";
import type { HeldImage } from "../open-images.js";
import { BYTES, jsonAnswer, PROBLEM } from "./answers.js";
import type { ApiContext } from "./context.js";
import { sendDownload } from "./download.js";
import { attachmentHeader, entryDocument } from "./file-document.js";
import { findFile, listFiles } from "./image-files.js";
import { decodeImagePath, encodeImagePath } from "./image-path.js";
import { layersDocument } from "./layers-document.js";
import { Files, Format, Layers, Platform } from "./schemas.js";

const MAX_PAGE = 2000;
const PAGE = 1000;
const MAX_LAYERS = 10_000;

const params = z.object({ name: z.string().min(1).max(512) });
const variant = { platform: Platform.optional(), format: Format.optional() };
const path = z
  .string()
  .max(16_384)
  .describe("Bytes that are no UTF-8 are %XX, and % is %25; a leading slash is none of it");
const layer = z.coerce.number().int().min(0).max(MAX_LAYERS);

const layersRoute = createRoute({
  method: "get",
  path: "/images/{name}/layers",
  request: { params, query: z.object(variant) },
  responses: { 200: jsonAnswer(Layers, "What each layer adds, changes, removes and wastes, base first"), ...PROBLEM },
});

const filesRoute = createRoute({
  method: "get",
  path: "/images/{name}/files",
  request: {
    params,
    query: z.object({
      ...variant,
      path: path.default(""),
      layer: layer.optional().describe("What this layer changes there; without, all that is there in the end"),
      after: z.string().max(1024).optional(),
      limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(PAGE),
    }),
  },
  responses: {
    200: jsonAnswer(Files, "A directory; of anything else only itself, and of a link the link"),
    ...PROBLEM,
  },
});

const fileRoute = createRoute({
  method: "get",
  path: "/images/{name}/file",
  request: {
    params,
    query: z.object({
      ...variant,
      path,
      layer: layer.optional().describe("The file as it is with this layer on top; without, with all"),
    }),
  },
  responses: { ...BYTES, ...PROBLEM },
});

/** An image's layers and files. Links are followed within the image alone. */
export function addBrowseRoutes(api: OpenAPIHono, context: ApiContext): void {
  const { openImages, onError } = context;

  async function open(name: string, variant: Variant, call: CallOptions): Promise<HeldImage> {
    return openImages.open(await storedImage(context, name, variant, call), call);
  }

  api.openapi(layersRoute, async (c) => {
    const { signal } = c.req.raw;
    await using held = await open(c.req.valid("param").name, c.req.valid("query"), { signal });
    return c.json(layersDocument(held), 200);
  });

  api.openapi(filesRoute, async (c) => {
    const { path, layer, after, limit, ...variant } = c.req.valid("query");
    const { signal } = c.req.raw;
    const wanted = decodeImagePath(path);
    const last = after === undefined ? undefined : decodeImagePath(after);
    await using held = await open(c.req.valid("param").name, variant, { signal });
    checkLayer(held, layer);
    const found = await listFiles(held, wanted, { layer, after: last, limit: limit + 1, signal });
    if (found === undefined) throw notFound(wanted, layer);
    const entries = found.entries.slice(0, limit);
    const next = found.entries.length > limit ? nameOf(entries.at(-1)?.path ?? "") : undefined;
    const document = {
      path: encodeImagePath(found.path),
      entries: entries.map(entryDocument),
      next: next === undefined ? null : encodeImagePath(next),
    };
    return c.json(document, 200);
  });

  api.openapi(fileRoute, async (c) => {
    const { path, layer, ...variant } = c.req.valid("query");
    const { signal } = c.req.raw;
    const wanted = decodeImagePath(path);
    const held = await open(c.req.valid("param").name, variant, { signal });
    try {
      checkLayer(held, layer);
      const found = await findFile(held, wanted, { layer, signal });
      if (found === undefined) throw notFound(wanted, layer);
      const { tree, entry } = found;
      if (entry.kind !== "file") {
        const state = entry.kind === "directory" ? "a directory" : "no file";
        throw new DaemonError("invalid_request", `cannot send ${show(wanted)}: it is ${state}`);
      }
      const download = {
        sizeBytes: entry.size,
        tag: tagOf(held, entry.path, layer),
        headers: {
          "Content-Type": "application/octet-stream",
          "Content-Disposition": attachmentHeader(displayPath(nameOf(wanted))),
          "Content-Security-Policy": "sandbox; default-src 'none'",
          "X-Content-Type-Options": "nosniff",
        },
        async *read(offset: number, length: number, call: CallOptions) {
          // the tree uses its buffers anew
          for await (const chunk of tree.read(entry, { offset, length, ...call })) yield chunk.slice();
        },
        [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
      };
      return await sendDownload(c.req.raw, download, onError);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  });
}

interface Variant {
  readonly platform?: string | undefined;
  readonly format?: z.infer<typeof Format> | undefined;
}

/** By what the API was asked for, else by what the store has. */
async function storedImage(
  { manager, store }: ApiContext,
  name: string,
  { platform, format }: Variant,
  { signal }: CallOptions,
): Promise<StoredImage> {
  const wanted = platform === undefined ? undefined : parsePlatform(platform);
  let text = name;
  try {
    const { manifestDigest, status } = await manager.getImage(name, { platform: wanted, format, signal });
    if (manifestDigest === undefined) {
      throw new DaemonError("not_found", `cannot look into ${quote(name)}: it is ${status}, and not in the store`);
    }
    text = manifestDigest;
  } catch (error) {
    if (!(error instanceof ImageStoreError) || error.code !== "not_found") throw error;
  }
  return store.get(text, { platform: text === name ? wanted : undefined, signal });
}

function checkLayer({ layers }: HeldImage, layer: number | undefined): void {
  if (layer === undefined || layer < layers.length) return;
  throw new DaemonError("not_found", `cannot look into layer ${layer}: there are ${layers.length}`);
}

function notFound(path: string, layer: number | undefined): DaemonError {
  const where = layer === undefined ? "the image" : `layer ${layer}`;
  return new DaemonError("not_found", `cannot find ${show(path)}: not in ${where}`);
}

function show(path: string): string {
  return quote(displayPath(path));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** An image never changes, so where a file is in it says what the file is. */
function tagOf({ image, layers }: HeldImage, path: string, layer: number = layers.length - 1): string {
  const place = `${image.descriptor.digest} ${layer} ${encodeImagePath(path)}`;
  return createHash("sha256").update(place).digest("hex").slice(0, 32);
}
