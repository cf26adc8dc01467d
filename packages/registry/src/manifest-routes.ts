import { digestAlgorithm, digestOf, isTag, parseDigest, quote } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { bodyOf, readUpTo, streamOf } from "./body.js";
import { createByteBudget } from "./byte-budget.js";
import type { BudgetShare } from "./byte-budget.js";
import { MANIFEST } from "./endpoints.js";
import { RegistryError } from "./errors.js";
import type { Limits } from "./limits.js";
import { checkReferences, parseDocument } from "./manifest-document.js";
import { createRepositoryLocks } from "./repository-locks.js";
import type { RepositoryLocks } from "./repository-locks.js";
import type { Service } from "./service.js";
import type { RegistryStorage } from "./storage.js";
import { writeUpload } from "./whole-upload.js";

/** Manifests by tag and by digest: OCI distribution-spec 1.1, end-3, end-7 and end-9. */
export function addManifestRoutes(app: Hono, service: Service): void {
  const locks = createRepositoryLocks();
  const openShare = createByteBudget(service.limits.maxPendingManifestBytes);
  app.get(MANIFEST, (c) => readManifest(c, service));
  app.put(MANIFEST, async (c) => {
    const share = openShare();
    try {
      return await putManifest(c, service, { locks, share });
    } finally {
      share.release();
    }
  });
  app.delete(MANIFEST, (c) => deleteManifest(c, service, locks));
}

async function readManifest(c: Context, service: Service): Promise<Response> {
  const { blobs, manifests } = service;
  const { name, reference } = await requested(c, service, "pull");
  const { signal } = c.req.raw;
  const manifest = await manifests.resolve(name, reference, { signal });
  if (manifest === undefined) throw manifestUnknown(name, reference);
  const { digest, mediaType } = manifest;
  const size = await blobs.stat(name, digest, { signal });
  if (size === undefined) throw manifestUnknown(name, reference);

  const headers = {
    "Content-Type": mediaType,
    "Content-Length": String(size),
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
  };
  const read = (): AsyncIterable<Uint8Array> => blobs.read(name, digest, { offset: 0, length: size, signal });
  return new Response(c.req.method === "HEAD" ? null : streamOf(read()), { headers });
}

interface PutOptions {
  readonly locks: RepositoryLocks;
  readonly share: BudgetShare;
}

async function putManifest(c: Context, service: Service, { locks, share }: PutOptions): Promise<Response> {
  const { name, reference } = await requested(c, service, "push");
  const tag = reference.includes(":") ? undefined : reference;
  if (tag !== undefined && !isTag(tag)) {
    throw new RegistryError("tag_invalid", `cannot put manifest ${quote(tag)}: not a tag`);
  }
  const { signal } = c.req.raw;
  const bytes = await readManifestBody(c, service.limits, share);
  const digest = checkDigest(bytes, tag === undefined ? parseDigest(reference) : undefined);
  const document = parseDocument(bytes, c.req.header("content-type"));
  const { mediaType, subject } = document;
  const manifest: Descriptor = { mediaType, digest, size: bytes.length };
  const put = async (): Promise<void> => {
    await checkReferences(document, name, { ...service, signal });
    await storeManifest(bytes, digest, { name, storage: service, signal });
    await service.manifests.put(name, manifest, { tag, subject, signal });
  };
  // what it refers to must not be deleted before it is there itself
  await locks.hold(name, put, { signal });

  const headers = {
    Location: `/v2/${name}/manifests/${digest}`,
    "Docker-Content-Digest": digest,
    ...(subject !== undefined && { "OCI-Subject": subject }),
  };
  return new Response(null, { status: 201, headers });
}

async function readManifestBody(
  c: Context,
  { maxManifestBytes, pace }: Limits,
  share: BudgetShare,
): Promise<Uint8Array> {
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of bodyOf(c.req.raw, pace)) {
      share.take(chunk.length);
      yield chunk;
    }
  }
  const bytes = await readUpTo(maxManifestBytes, counted());
  if (bytes !== undefined) return bytes;
  throw new RegistryError("manifest_too_large", `cannot put manifest: over ${maxManifestBytes} bytes`);
}

async function deleteManifest(c: Context, service: Service, locks: RepositoryLocks): Promise<Response> {
  const { manifests, deletion } = service;
  const { name, reference } = await requested(c, service, "delete");
  const kind = reference.includes(":") ? "manifests" : "tags";
  if (deletion[kind] === false) {
    throw new RegistryError("method_unsupported", `cannot delete ${kind} here: the registry does not allow it`);
  }
  const { signal } = c.req.raw;
  const deleted = await locks.hold(name, () => manifests.delete(name, reference, { signal }), { signal });
  if (deleted) return new Response(null, { status: 202 });
  throw manifestUnknown(name, reference);
}

/** A manifest by tag has the digest that everybody expects; by digest, that one, whatever its algorithm. */
function checkDigest(bytes: Uint8Array, expected: Digest | undefined): Digest {
  const actual = digestOf(bytes, expected === undefined ? "sha256" : digestAlgorithm(expected));
  if (expected === undefined || expected === actual) return actual;
  throw new RegistryError("digest_mismatch", `cannot put manifest ${expected}: its digest is ${actual}`);
}

interface StoreOptions {
  readonly name: string;
  readonly storage: RegistryStorage;
  readonly signal: AbortSignal;
}

async function storeManifest(bytes: Uint8Array, digest: Digest, options: StoreOptions): Promise<void> {
  const { name, storage, signal } = options;
  if ((await storage.blobs.stat(name, digest, { signal })) === bytes.length) return;
  const upload = await storage.uploads.begin(name, { signal });
  await writeUpload(upload, chunkOf(bytes), { digest, signal });
}

async function* chunkOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A tag that breaks the grammar is not an error of reading: there is no such manifest. A digest that does is one always. */
async function requested(
  c: Context,
  { gate }: Service,
  action: "pull" | "push" | "delete",
): Promise<{ name: string; reference: string }> {
  const name = await gate.repository(c, action);
  const reference = c.req.param("reference") ?? "";
  return { name, reference: reference.includes(":") ? parseDigest(reference) : reference };
}

function manifestUnknown(name: string, reference: string): RegistryError {
  return new RegistryError(
    "manifest_unknown",
    `cannot find manifest ${quote(reference)} of ${quote(name)}: there is none`,
  );
}
