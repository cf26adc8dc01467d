import { isDigest, parseDigest, quote } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { bodyOf, exactly } from "./body.js";
import { UPLOAD, UPLOADS } from "./endpoints.js";
import { errorResponse } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { repositoryOf } from "./repository-name.js";
import { parseContentRange } from "./range.js";
import type { RegistryStorage, Upload } from "./storage.js";
import { writeUpload } from "./whole-upload.js";

/** Pushing blobs: OCI distribution-spec 1.1, end-4, end-5, end-6, end-11, end-13 and end-14. */
export function addUploadRoutes(app: Hono, storage: RegistryStorage): void {
  const begin = (c: Context): Promise<Response> => beginUpload(c, storage);
  app.post(UPLOADS.slice(0, -1), begin);
  app.post(UPLOADS, begin);
  app.get(UPLOAD, async (c) => uploadResponse(204, repositoryOf(c), await findUpload(c, storage)));
  app.patch(UPLOAD, (c) => appendToUpload(c, storage));
  app.put(UPLOAD, (c) => finishUpload(c, storage));
  app.delete(UPLOAD, async (c) => {
    const upload = await findUpload(c, storage);
    await upload.abort({ signal: c.req.raw.signal });
    return new Response(null, { status: 204 });
  });
}

/** A POST begins an upload, is a whole one (`?digest=`), or makes one needless (`?mount=`). */
async function beginUpload(c: Context, { blobs, uploads }: RegistryStorage): Promise<Response> {
  const name = repositoryOf(c);
  const { signal } = c.req.raw;
  const mount = c.req.query("mount") ?? "";
  if (isDigest(mount) && (await blobs.stat(mount, { signal })) !== undefined) return blobResponse(name, mount);

  const digest = c.req.query("digest");
  if (digest === undefined) return uploadResponse(202, name, await uploads.begin(name, { signal }));
  const expected = parseDigest(digest);
  const upload = await uploads.begin(name, { signal });
  await writeUpload(upload, bodyOf(c.req.raw), { digest: expected, signal });
  return blobResponse(name, expected);
}

async function appendToUpload(c: Context, storage: RegistryStorage): Promise<Response> {
  const upload = await findUpload(c, storage);
  try {
    await appendChunk(c, upload);
  } catch (error) {
    return rangeResponse(error, repositoryOf(c), upload);
  }
  return uploadResponse(202, repositoryOf(c), upload);
}

async function finishUpload(c: Context, storage: RegistryStorage): Promise<Response> {
  const upload = await findUpload(c, storage);
  const digest = c.req.query("digest");
  if (digest === undefined) {
    throw new RegistryError("digest_missing", `cannot finish upload ${upload.id}: no digest is given`);
  }
  const expected = parseDigest(digest);
  try {
    await appendChunk(c, upload);
  } catch (error) {
    return rangeResponse(error, repositoryOf(c), upload);
  }
  await upload.commit(expected, { signal: c.req.raw.signal });
  return blobResponse(repositoryOf(c), expected);
}

/** A chunk without `Content-Range` continues where the upload ends, and is as long as it happens to be. */
async function appendChunk(c: Context, upload: Upload): Promise<void> {
  const { signal } = c.req.raw;
  const header = c.req.header("content-range");
  if (header === undefined) return upload.append(bodyOf(c.req.raw), { offset: upload.size, signal });

  const { offset, length } = parseContentRange(header);
  const contentLength = c.req.header("content-length");
  if (contentLength !== undefined && Number(contentLength) !== length) {
    const state = `Content-Length is ${quote(contentLength)}`;
    throw new RegistryError("size_invalid", `cannot take the chunk ${quote(header)} of upload ${upload.id}: ${state}`);
  }
  return upload.append(exactly(length, bodyOf(c.req.raw)), { offset, signal });
}

async function findUpload(c: Context, { uploads }: RegistryStorage): Promise<Upload> {
  const id = c.req.param("id") ?? "";
  const upload = await uploads.find(repositoryOf(c), id, { signal: c.req.raw.signal });
  if (upload !== undefined) return upload;
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
