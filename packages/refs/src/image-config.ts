import { readPlatform, toDigest } from "./descriptor-document.js";
import type { Descriptor } from "./descriptor.js";
import type { Digest } from "./digest.js";
import {
  invalid,
  type JsonObject,
  objects,
  optionalObject,
  optionalString,
  optionalStringMap,
  optionalStrings,
  readJsonDocument,
  requiredString,
} from "./json-document.js";
import { RefsError } from "./errors.js";
import { type Manifest, MAX_LAYERS } from "./image-manifest.js";
import type { Platform } from "./platform.js";

/** An image's config (OCI image-spec, config.md): the platform it is for, its layers uncompressed, how it runs. */
export interface ImageConfig extends Platform {
  /** RFC 3339, as the document has it. */
  readonly created?: string;
  readonly author?: string;
  /** `rootfs.diff_ids`: digests of the uncompressed tars, base first. */
  readonly diffIDs: readonly Digest[];
  readonly history: readonly HistoryEntry[];
  readonly config: RunConfig;
}

export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  /** The step made no layer. */
  readonly emptyLayer?: boolean;
}

/** How a container of the image runs: the document's `config` field, absent fields left out. */
export interface RunConfig {
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  /** `NAME=value` each. */
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `80/tcp` each. */
  readonly exposedPorts?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stopSignal?: string;
}

const MAX_HISTORY = 4096;

/**
 * Validates an image config. Unknown fields are ignored.
 * @throws {RefsError} `document_invalid`, `document_too_large`
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const object = readJsonDocument(bytes, "image config");
  const created = optionalString(object, "created");
  const author = optionalString(object, "author");
  const run = optionalObject(object, "config");
  return {
    ...readPlatform(object),
    ...(created !== undefined && { created }),
    ...(author !== undefined && { author }),
    diffIDs: readDiffIDs(object),
    history: objects(object, "history", MAX_HISTORY).map(readHistoryEntry),
    config: run === undefined ? {} : readRunConfig(run),
  };
}

/**
 * Each layer with its diffID, base first.
 * @throws {RefsError} `document_invalid` when manifest and config differ in the number of layers
 */
export function pairLayers(manifest: Manifest, config: ImageConfig): { descriptor: Descriptor; diffID: Digest }[] {
  const { layers } = manifest;
  const { diffIDs } = config;
  if (layers.length !== diffIDs.length) {
    const state = `the manifest has ${layers.length} layers, the config ${diffIDs.length} diff_ids`;
    throw new RefsError("document_invalid", `cannot pair layers with diffIDs: ${state}`);
  }
  return layers.map((descriptor, index) => ({ descriptor, diffID: diffIDs[index] as Digest }));
}

function readDiffIDs(object: JsonObject): Digest[] {
  const rootfs = optionalObject(object, "rootfs");
  if (rootfs === undefined) throw invalid(object, "rootfs", "is missing");
  if (requiredString(rootfs, "type") !== "layers") throw invalid(rootfs, "type", 'is not "layers"');
  const texts = optionalStrings(rootfs, "diff_ids") ?? [];
  if (texts.length > MAX_LAYERS) {
    throw invalid(rootfs, "diff_ids", `has ${texts.length} members, the limit is ${MAX_LAYERS}`);
  }
  return texts.map((text, index) => toDigest(text, rootfs, `diff_ids[${index}]`));
}

function readHistoryEntry(object: JsonObject): HistoryEntry {
  const created = optionalString(object, "created");
  const createdBy = optionalString(object, "created_by");
  const author = optionalString(object, "author");
  const comment = optionalString(object, "comment");
  return {
    ...(created !== undefined && { created }),
    ...(createdBy !== undefined && { createdBy }),
    ...(author !== undefined && { author }),
    ...(comment !== undefined && { comment }),
    ...(object.fields.get("empty_layer") === true && { emptyLayer: true }),
  };
}

function readRunConfig(object: JsonObject): RunConfig {
  const entrypoint = optionalStrings(object, "Entrypoint");
  const cmd = optionalStrings(object, "Cmd");
  const env = optionalStrings(object, "Env");
  const user = optionalString(object, "User");
  const workingDir = optionalString(object, "WorkingDir");
  const labels = optionalStringMap(object, "Labels");
  const exposedPorts = optionalObject(object, "ExposedPorts");
  const volumes = optionalObject(object, "Volumes");
  const stopSignal = optionalString(object, "StopSignal");
  return {
    ...(entrypoint !== undefined && { entrypoint }),
    ...(cmd !== undefined && { cmd }),
    ...(env !== undefined && { env }),
    ...(user !== undefined && { user }),
    ...(workingDir !== undefined && { workingDir }),
    ...(labels !== undefined && { labels }),
    ...(exposedPorts !== undefined && { exposedPorts: [...exposedPorts.fields.keys()] }),
    ...(volumes !== undefined && { volumes: [...volumes.fields.keys()] }),
    ...(stopSignal !== undefined && { stopSignal }),
  };
}
