import { type Descriptor, OCI_INDEX, parseIndex } from "@lamella/refs";

import { LAYOUT_VERSION, NAME_ANNOTATION, nameOf } from "./layout-reader.js";

const ENCODER = new TextEncoder();

/** The file `oci-layout` (OCI image-spec, image-layout.md). */
export const LAYOUT_FILE: Uint8Array = ENCODER.encode(`${JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION })}\n`);

/** An `index.json` without images. */
export const EMPTY_INDEX: Uint8Array = encode({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });

/**
 * The `index.json` with a manifest under a name, which it has alone from now on; without a name it is listed only if it was not.
 * All else stays as it is, fields that we do not know included.
 *
 * @throws {RefsError} `document_invalid`, `document_too_large`
 */
export function withManifest(index: Uint8Array, descriptor: Descriptor, name: string | undefined): Uint8Array {
  const { manifests } = parseIndex(index);
  const document = JSON.parse(new TextDecoder().decode(index)) as { manifests?: unknown[] | null };
  const raw = document.manifests ?? [];
  const isListed = manifests.some(({ digest }) => digest === descriptor.digest);
  if (name === undefined && isListed) return index;
  const kept = raw.filter((_, at) => name === undefined || nameOf(manifests[at] as Descriptor) !== name);
  const annotations = { ...descriptor.annotations, ...(name !== undefined && { [NAME_ANNOTATION]: name }) };
  const entry = { ...descriptor, ...(Object.keys(annotations).length > 0 && { annotations }) };
  return encode({ ...document, manifests: [...kept, entry] });
}

/** The `index.json` without a name; what had it is not listed under it any more. */
export function withoutName(index: Uint8Array, name: string): Uint8Array {
  const { manifests } = parseIndex(index);
  const document = JSON.parse(new TextDecoder().decode(index)) as { manifests?: unknown[] | null };
  const kept = (document.manifests ?? []).filter((_, at) => nameOf(manifests[at] as Descriptor) !== name);
  return encode({ ...document, manifests: kept });
}

function encode(document: object): Uint8Array {
  return ENCODER.encode(`${JSON.stringify(document)}\n`);
}
