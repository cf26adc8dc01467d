import { parseDigest } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { answerOf } from "./blob-answer.js";
import { streamOf } from "./body.js";
import { BLOB } from "./endpoints.js";
import { errorResponse } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { parseRanges } from "./range.js";
import type { ByteRange } from "./range.js";
import type { Service } from "./service.js";

/** Reading and removing blobs: OCI distribution-spec 1.1, end-2 and end-10. */
export function addBlobRoutes(app: Hono, service: Service): void {
  const { blobs, deletion } = service;
  app.get(BLOB, (c) => readBlob(c, service));
  if (blobs.delete !== undefined && deletion.blobs !== false) app.delete(BLOB, (c) => deleteBlob(c, service));
}

async function readBlob(c: Context, { blobs, gate }: Service): Promise<Response> {
  const name = await gate.repository(c, "pull");
  const digest = digestOfRequest(c);
  const { signal } = c.req.raw;
  const size = await blobs.stat(name, digest, { signal });
  if (size === undefined) throw new RegistryError("blob_unknown", `cannot read blob ${digest}: not in the repository`);

  let ranges: ByteRange[] | undefined;
  try {
    ranges = isCurrent(c.req.header("if-range"), digest) ? parseRanges(c.req.header("range"), size) : undefined;
  } catch (error) {
    return errorResponse(error, { "Content-Range": `bytes */${size}` });
  }
  const { status, headers, body } = answerOf(ranges, size, (range) => blobs.read(name, digest, { ...range, signal }));
  return new Response(c.req.method === "HEAD" ? null : streamOf(body()), {
    status,
    headers: { ...headers, "Accept-Ranges": "bytes", "Docker-Content-Digest": digest, ETag: `"${digest}"` },
  });
}

async function deleteBlob(c: Context, { blobs, gate }: Service): Promise<Response> {
  const name = await gate.repository(c, "delete");
  const digest = digestOfRequest(c);
  const deleted = await blobs.delete?.(name, digest, { signal: c.req.raw.signal });
  if (deleted === true) return new Response(null, { status: 202 });
  throw new RegistryError("blob_unknown", `cannot delete blob ${digest}: not in the repository`);
}

function digestOfRequest(c: Context): Digest {
  return parseDigest(c.req.param("digest") ?? "");
}

/** A blob never changes, so a range that is asked for on a condition is given unless the condition names something else. */
function isCurrent(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange === `"${digest}"`;
}
