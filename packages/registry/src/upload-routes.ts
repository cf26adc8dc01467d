import { isDigest, parseDigest, quote } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { bodyOf, exactly } from "./body.js";
import { UPLOAD, UPLOADS } from "./endpoints.js";
import { errorResponse } from "./error-response.js";
import { RegistryError } from "./errors.js";
import type { Gate } from "./gate.js";
import type { Limits } from "./limits.js";
import { parseContentRange } from "./range.js";
import { isRepositoryName } from "./repository-name.js";
import type { Service } from "./service.js";
import type { Upload } from "./storage.js";
import { writeUpload } from "./whole-upload.js";

/** Pushing blobs: OCI distribution-spec 1.1, end-4, end-5, end-6, end-11, end-13 and end-14. */
export function addUploadRoutes(app: Hono, service: Service): void {
  const begin = (c: Context): Promise<Response> => beginUpload(c, service);
  app.post(UPLOADS.slice(0, -1), begin);
  app.post(UPLOADS, begin);
  app.get(UPLOAD, async (c) => {
    const { name, upload } = await findUpload(c, service);
    return uploadResponse(204, name, upload);
  });
  app.patch(UPLOAD, (c) => appendToUpload(c, service));
  app.put(UPLOAD, (c) => finishUpload(c, service));
  app.delete(UPLOAD, async (c) => {
    const { upload } = await findUpload(c, service);
    await upload.abort({ signal: c.req.raw.signal });
    return new Response(null, { status: 204 });
  });
}

/** A POST begins an upload, is a whole one (`?digest=`), or makes one needless (`?mount=`). */
async function beginUpload(c: Context, service: Service): Promise<Response> {
  const { gate, uploads, limits } = service;
  const name = await gate.repository(c, "push");
  const { signal } = c.req.raw;
  const mounted = await mount(c, service, name);
  if (mounted !== undefined) return blobResponse(name, mounted);

  const digest = c.req.query("digest");
  if (digest === undefined) return uploadResponse(202, name, await uploads.begin(name, { signal }));
  const expected = parseDigest(digest);
  const upload = await uploads.begin(name, { signal });
  await writeUpload(upload, bodyOf(c.req.raw, limits.pace), { digest: expected, signal });
  return blobResponse(name, expected);
}

/** A blob that need not be sent. Where it cannot be had, an upload begins instead, as the specification has it. */
async function mount(c: Context, { gate, blobs }: Service, name: string): Promise<Digest | undefined> {
  const digest = c.req.query("mount") ?? "";
  const from = c.req.query("from");
  if (!isDigest(digest) || !(await mayMount(c, gate, from))) return undefined;
  return (await blobs.mount(name, digest, { from, signal: c.req.raw.signal })) ? digest : undefined;
}

async function mayMount(c: Context, gate: Gate, from: string | undefined): Promise<boolean> {
  return from === undefined ? gate.isOpen : isRepositoryName(from) && gate.mayPull(c, from);
}

async function appendToUpload(c: Context, service: Service): Promise<Response> {
  const { name, upload } = await findUpload(c, service);
  try {
    await appendChunk(c, upload, service.limits);
  } catch (error) {
    return rangeResponse(error, name, upload);
  }
  return uploadResponse(202, name, upload);
}

async function finishUpload(c: Context, service: Service): Promise<Response> {
  const { name, upload } = await findUpload(c, service);
  const digest = c.req.query("digest");
  if (digest === undefined) {
    throw new RegistryError("digest_missing", `cannot finish upload ${upload.id}: no digest is given`);
  }
  const expected = parseDigest(digest);
  try {
    await appendChunk(c, upload, service.limits);
  } catch (error) {
    return rangeResponse(error, name, upload);
  }
  await upload.commit(expected, { signal: c.req.raw.signal });
  return blobResponse(name, expected);
}

/** A chunk without `Content-Range` continues where the upload ends, and is as long as it happens to be. */
async function appendChunk(c: Context, upload: Upload, { pace }: Limits): Promise<void> {
  const { signal } = c.req.raw;
  const header = c.req.header("content-range");
  if (header === undefined) return upload.append(bodyOf(c.req.raw, pace), { offset: upload.size, signal });

  const { offset, length } = parseContentRange(header);
  const contentLength = c.req.header("content-length");
  if (contentLength !== undefined && Number(contentLength) !== length) {
    const state = `Content-Length is ${quote(contentLength)}`;
    throw new RegistryError("size_invalid", `cannot take the chunk ${quote(header)} of upload ${upload.id}: ${state}`);
  }
  return upload.append(exactly(length, bodyOf(c.req.raw, pace)), { offset, signal });
}

async function findUpload(c: Context, { gate, uploads }: Service): Promise<{ name: string; upload: Upload }> {
  const name = await gate.repository(c, "push");
  const id = c.req.param("id") ?? "";
  const upload = await uploads.find(name, id, { signal: c.req.raw.signal });
  if (upload !== undefined) return { name, upload };
  throw new RegistryError("upload_unknown", `cannot find upload ${quote(id)}: it has ended or never was`);
}

/** A chunk that does not fit is answered with where the upload stands, so that its client can go on from there. */
function rangeResponse(error: unknown, name: string, upload: Upload): Response {
  if (error instanceof RegistryError && error.code === "range_invalid") {
    return errorResponse(error, uploadHeaders(name, upload));
  }
  throw error;
}

function uploadResponse(status: 202 | 204, name: string, upload: Upload): Response {
  return new Response(null, { status, headers: uploadHeaders(name, upload) });
}

/** `Range` is inclusive and has no form for "nothing": every registry says `0-0` for none as for one byte. */
function uploadHeaders(name: string, upload: Upload): Record<string, string> {
  return {
    Location: `/v2/${name}/blobs/uploads/${upload.id}`,
    Range: `0-${Math.max(upload.size - 1, 0)}`,
    "Docker-Upload-UUID": upload.id,
  };
}

function blobResponse(name: string, digest: Digest): Response {
  const headers = { Location: `/v2/${name}/blobs/${digest}`, "Docker-Content-Digest": digest };
  return new Response(null, { status: 201, headers });
}
