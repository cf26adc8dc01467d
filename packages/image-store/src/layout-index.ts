import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

import { isDigest, OCI_INDEX, parseIndex } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";

import { parseStored } from "./database/stored-json.js";
import { isTagName } from "./database/tags.js";
import { isErrno, replaceFile } from "./durable.js";
import { ImageStoreError } from "./errors.js";
import { newPartName } from "./ingest-claim.js";

const NAME = "org.opencontainers.image.ref.name";
/** Beyond 100,000 names. */
const MAX_INDEX_BYTES = 64 << 20;
/** As many as one parsed index may have at least. */
const MANIFESTS_AT_ONCE = 1000;

/*
 * index.json { manifests: [ descriptor + annotation ref.name, … ] }    made out of the tags; other tools read it, and may add to it
 *
 * A name that is a digest has no annotation: the layout lists the manifest without a name.
 */

/** A manifest or an index that an `index.json` lists. */
export interface ListedManifest {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** Makes the file `oci-layout` (image-spec, image-layout.md), or checks the one that is there. @throws {ImageStoreError} `store_invalid` */
export async function makeLayoutFile(directory: string): Promise<void> {
  const path = join(directory, "oci-layout");
  const found = await readIfThere(path);
  if (found === undefined) return replaceInStore(path, '{"imageLayoutVersion":"1.0.0"}\n');
  if (isLayoutFile(found)) return;
  const state = "oci-layout is not of version 1.0.0; check --repair mends one that is damaged";
  throw new ImageStoreError("store_invalid", `cannot open ${directory}: ${state}`);
}

/** Whether a file `oci-layout` is that of the version that there is. */
export function isLayoutFile(bytes: Uint8Array): boolean {
  try {
    const found = JSON.parse(new TextDecoder().decode(bytes)) as { imageLayoutVersion?: unknown } | null;
    return found?.imageLayoutVersion === "1.0.0";
  } catch {
    return false;
  }
}

/**
 * What an `index.json` lists, each name once. Manifests without a name, with one that no image can have, or with one that another
 * has, as those of several platforms may, go by their digests. Undefined where there is no file.
 *
 * @throws {RefsError} `document_invalid`
 * @throws {ImageStoreError} `store_invalid` for a file that is too large
 */
export async function readLayoutIndex(path: string): Promise<ListedManifest[] | undefined> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) return undefined;
  if (bytes.length > MAX_INDEX_BYTES) {
    throw new ImageStoreError("store_invalid", `cannot read ${path}: it is larger than ${MAX_INDEX_BYTES} bytes`);
  }
  const listed = new Map<string, Descriptor>();
  for (const { annotations = {}, ...descriptor } of parseManifests(bytes)) {
    const { [NAME]: name = "", ...others } = annotations;
    const key = isTagName(name) && !listed.has(name) ? name : descriptor.digest;
    listed.set(key, Object.keys(others).length > 0 ? { ...descriptor, annotations: others } : descriptor);
  }
  return [...listed].map(([name, descriptor]) => ({ name, descriptor }));
}

/** An index of a store may have more manifests than one that comes from elsewhere, so it is checked in parts. */
function parseManifests(bytes: Uint8Array): Descriptor[] {
  const text = new TextDecoder().decode(bytes);
  let manifests: unknown;
  try {
    manifests = (JSON.parse(text) as { manifests?: unknown } | null)?.manifests;
  } catch {
    manifests = undefined;
  }
  if (!Array.isArray(manifests)) return [...parseIndex(bytes).manifests];
  const parsed: Descriptor[] = [];
  for (let at = 0; at < manifests.length; at += MANIFESTS_AT_ONCE) {
    const part = { schemaVersion: 2, manifests: manifests.slice(at, at + MANIFESTS_AT_ONCE) as unknown[] };
    parsed.push(...parseIndex(new TextEncoder().encode(JSON.stringify(part))).manifests);
  }
  return parsed;
}

/** A name with the descriptor of what it stands for, as JSON, as there may be many. */
export interface NamedDescriptor {
  readonly name: string;
  readonly descriptor: string;
}

/** Replaces an `index.json`. */
export async function writeLayoutIndex(path: string, manifests: readonly NamedDescriptor[]): Promise<void> {
  await replaceInStore(path, layoutIndexText(manifests));
}

/** Whether an `index.json` has the very bytes that these names give. */
export async function isLayoutIndexOf(path: string, manifests: readonly NamedDescriptor[]): Promise<boolean> {
  return (await readIfThere(path))?.equals(Buffer.from(layoutIndexText(manifests))) ?? false;
}

function layoutIndexText(manifests: readonly NamedDescriptor[]): string {
  const entries = manifests.map(({ name, descriptor }) => (isDigest(name) ? descriptor : named(descriptor, name)));
  return `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[${entries.join(",")}]}\n`;
}

/** What a process that is killed leaves of it is known for a leftover then, and not before. */
async function replaceInStore(path: string, text: string): Promise<void> {
  await replaceFile(join(dirname(path), "ingest", await newPartName()), path, text);
}

function named(descriptor: string, name: string): string {
  const { annotations, ...others } = parseStored(descriptor) as Descriptor;
  return JSON.stringify({ ...others, annotations: { ...annotations, [NAME]: name } });
}

/** Tells one writing of a file from every other; undefined where there is none. */
export async function fileIdentity(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
