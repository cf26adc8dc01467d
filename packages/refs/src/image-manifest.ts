import type { Descriptor } from "./descriptor.js";
import { readDescriptor, readMediaType } from "./descriptor-document.js";
import {
  has,
  invalid,
  type JsonObject,
  objects,
  optionalObject,
  optionalStringMap,
  readJsonDocument,
} from "./json-document.js";
import { isIndexType, isManifestType, OCI_INDEX, OCI_MANIFEST } from "./media-types.js";
import { quote } from "./quotation.js";

/** A manifest of one image (OCI image-spec, manifest.md) or Docker's schema 2, which has the same fields. */
export interface Manifest {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  /** Base first. The same layer may stand more than once. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image index (OCI image-spec, image-index.md) or a Docker manifest list. */
export interface Index {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Eight times what Docker ever makes. */
export const MAX_LAYERS = 1024;
export const MAX_INDEX_MANIFESTS = 4096;

/**
 * Validates a manifest. `mediaType` is what the descriptor or the Content-Type promised: a document that says otherwise is refused,
 * and so is one that is manifest and index at once (CVE-2021-41190). Unknown fields are ignored.
 *
 * @throws {RefsError} `document_invalid`, `document_too_large`
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  const object = readJsonDocument(bytes, "manifest");
  const ownType = checkKind(object, mediaType, "manifest");
  const config = optionalObject(object, "config");
  if (config === undefined) throw invalid(object, "config", "is missing");
  return {
    mediaType: ownType ?? mediaType ?? OCI_MANIFEST,
    config: readDescriptor(config),
    layers: objects(object, "layers", MAX_LAYERS).map(readDescriptor),
    ...readCommonFields(object),
  };
}

/**
 * Validates an index, by the same rules as {@link parseManifest}. A child may be an index again; whoever resolves it decides.
 * @throws {RefsError} `document_invalid`, `document_too_large`
 */
export function parseIndex(bytes: Uint8Array, mediaType?: string): Index {
  const object = readJsonDocument(bytes, "index");
  const ownType = checkKind(object, mediaType, "index");
  return {
    mediaType: ownType ?? mediaType ?? OCI_INDEX,
    manifests: objects(object, "manifests", MAX_INDEX_MANIFESTS).map(readDescriptor),
    ...readCommonFields(object),
  };
}

/**
 * What a document is by its own account: its `mediaType`, else by its fields an OCI manifest or index.
 * For sources that do not say; the document itself is not validated yet.
 *
 * @throws {RefsError} `document_invalid`, `document_too_large`
 */
export function detectMediaType(bytes: Uint8Array): string {
  const object = readJsonDocument(bytes, "manifest");
  const type = has(object, "mediaType") ? readMediaType(object, "mediaType") : undefined;
  if (type !== undefined) return type;
  checkOneKind(object);
  return has(object, "manifests") ? OCI_INDEX : OCI_MANIFEST;
}

/** Checks version, kind and media type; gives the media type that the document itself names. */
function checkKind(object: JsonObject, promised: string | undefined, kind: "manifest" | "index"): string | undefined {
  checkOneKind(object);
  if (object.fields.get("schemaVersion") !== 2) throw invalid(object, "schemaVersion", "is not 2");
  const ownType = has(object, "mediaType") ? readMediaType(object, "mediaType") : undefined;
  if (ownType !== undefined && promised !== undefined && ownType !== promised) {
    throw invalid(object, "mediaType", `is ${quote(ownType)}, but ${quote(promised)} was promised`);
  }
  const type = ownType ?? promised;
  const isKind = kind === "manifest" ? isManifestType : isIndexType;
  if (type !== undefined && !isKind(type)) {
    throw invalid(object, "mediaType", `is ${quote(type)}, not the type of an image ${kind}`);
  }
  return ownType;
}

function checkOneKind(object: JsonObject): void {
  if (!has(object, "manifests")) return;
  for (const name of ["layers", "config"]) {
    if (has(object, name)) throw invalid(object, name, "and manifests stand together");
  }
}

function readCommonFields(object: JsonObject): Pick<Manifest, "artifactType" | "subject" | "annotations"> {
  const artifactType = has(object, "artifactType") ? readMediaType(object, "artifactType") : undefined;
  const subject = optionalObject(object, "subject");
  const annotations = optionalStringMap(object, "annotations");
  return {
    ...(artifactType !== undefined && { artifactType }),
    ...(subject !== undefined && { subject: readDescriptor(subject) }),
    ...(annotations !== undefined && { annotations }),
  };
}
