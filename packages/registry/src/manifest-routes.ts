import { digestAlgorithm, digestOf, isTag, MAX_DOCUMENT_BYTES, parseDigest, quote } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { bodyOf, readUpTo, streamOf } from "./body.js";
import { writeUpload } from "./whole-upload.js";
import { MANIFEST } from "./endpoints.js";
import { RegistryError } from "./errors.js";
import { checkReferences, parseDocument } from "./manifest-document.js";
import { repositoryOf } from "./repository-name.js";
import type { RegistryStorage } from "./storage.js";

/** Manifests by tag and by digest: OCI distribution-spec 1.1, end-3, end-7 and end-9. */
export function addManifestRoutes(app: Hono, storage: RegistryStorage): void {
  app.get(MANIFEST, (c) => readManifest(c, storage));
  app.put(MANIFEST, (c) => putManifest(c, storage));
  app.delete(MANIFEST, async (c) => {
    const { name, reference } = requested(c);
    if (!(await storage.manifests.delete(name, reference, { signal: c.req.raw.signal }))) {
      throw manifestUnknown(name, reference);
    }
    return new Response(null, { status: 202 });
  });
}

async function readManifest(c: Context, { blobs, manifests }: RegistryStorage): Promise<Response> {
  const { name, reference } = requested(c);
  const { signal } = c.req.raw;
  const manifest = await manifests.resolve(name, reference, { signal });
  if (manifest === undefined) throw manifestUnknown(name, reference);
  const { digest, mediaType } = manifest;
  const size = await blobs.stat(digest, { signal });
  if (size === undefined) throw manifestUnknown(name, reference);

  const headers = {
    "Content-Type": mediaType,
    "Content-Length": String(size),
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
  };
  const body = c.req.method === "HEAD" ? null : streamOf(blobs.read(digest, { offset: 0, length: size, signal }));
  return new Response(body, { headers });
}

async function putManifest(c: Context, storage: RegistryStorage): Promise<Response> {
  const { name, reference } = requested(c);
  const tag = reference.includes(":") ? undefined : reference;
  if (tag !== undefined && !isTag(tag)) {
    throw new RegistryError("tag_invalid", `cannot put manifest ${quote(tag)}: not a tag`);
  }
  const { signal } = c.req.raw;
  const bytes = await readUpTo(MAX_DOCUMENT_BYTES, bodyOf(c.req.raw));
  if (bytes === undefined) {
    throw new RegistryError("manifest_too_large", `cannot put manifest: over ${MAX_DOCUMENT_BYTES} bytes`);
  }
  const digest = checkDigest(bytes, tag === undefined ? parseDigest(reference) : undefined);
  const document = parseDocument(bytes, c.req.header("content-type"));
  await checkReferences(document, name, { ...storage, signal });

  await storeManifest(bytes, digest, { name, storage, signal });
  const manifest: Descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
  await storage.manifests.put(name, manifest, { tag, signal });
  const headers = { Location: `/v2/${name}/manifests/${digest}`, "Docker-Content-Digest": digest };
  return new Response(null, { status: 201, headers });
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
  if ((await storage.blobs.stat(digest, { signal })) === bytes.length) return;
  const upload = await storage.uploads.begin(name, { signal });
  await writeUpload(upload, chunkOf(bytes), { digest, signal });
}

async function* chunkOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A tag that breaks the grammar is not an error of reading: there is no such manifest. A digest that does is one always. */
function requested(c: Context): { name: string; reference: string } {
  const name = repositoryOf(c);
  const reference = c.req.param("reference") ?? "";
  return { name, reference: reference.includes(":") ? parseDigest(reference) : reference };
}

function manifestUnknown(name: string, reference: string): RegistryError {
  return new RegistryError(
    "manifest_unknown",
    `cannot find manifest ${quote(reference)} of ${quote(name)}: there is none`,
  );
}
