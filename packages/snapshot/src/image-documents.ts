import {
  type Descriptor,
  type Digest,
  digestOf,
  DOCKER_LAYER_GZIP,
  DOCKER_LAYER_TAR,
  DOCKER_LAYER_ZSTD,
  DOCKER_MANIFEST,
  layerCompression,
  MAX_LAYERS,
  OCI_CONFIG,
  OCI_MANIFEST,
  type Platform,
  type RunConfig,
} from "@lamella/refs";

import { SnapshotError } from "./errors.js";

/** A document of an image, and what it is called by. */
export interface ImageDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** The documents of the image that another one is made of; both have been validated. */
export interface BaseDocuments {
  readonly manifest: ImageDocument;
  readonly config: ImageDocument;
}

export interface NewImage {
  /** What the image is made of; without, what it is for. */
  readonly base: BaseDocuments | Platform;
  /** The layer on top; none where nothing has changed. */
  readonly layer: (Descriptor & { readonly diffID: Digest }) | undefined;
  readonly createdAt: Date;
  readonly createdBy?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly run?: RunConfig | undefined;
}

type Json = Readonly<Record<string, unknown>>;

const DOCKER_LAYERS = { none: DOCKER_LAYER_TAR, gzip: DOCKER_LAYER_GZIP, zstd: DOCKER_LAYER_ZSTD } as const;
/** OCI image-spec, annotations.md. */
const BASE_DIGEST = "org.opencontainers.image.base.digest";

/**
 * The documents of an image with one more layer: what they say otherwise is as in those of the base, also what nobody here knows the meaning of. The
 * media types are of the base's family. The same image makes the same bytes.
 * @throws {SnapshotError} `unsupported` for what would not be the same when it is written again, and for one layer too many
 */
export function makeImageDocuments(image: NewImage): { config: ImageDocument; manifest: ImageDocument } {
  const base = "manifest" in image.base ? image.base : undefined;
  const isDocker = base?.manifest.descriptor.mediaType === DOCKER_MANIFEST;
  const config = document(base?.config.descriptor.mediaType ?? OCI_CONFIG, configOf(image, base));
  const below = base === undefined ? {} : parse(base.manifest, "manifest");
  const layers = [...arrayOf(below["layers"]), ...(image.layer === undefined ? [] : [layerOf(image.layer, isDocker)])];
  if (layers.length > MAX_LAYERS) {
    throw new SnapshotError(
      "unsupported",
      `cannot make an image of ${layers.length} layers: the limit is ${MAX_LAYERS}`,
    );
  }
  const mediaType = isDocker ? DOCKER_MANIFEST : OCI_MANIFEST;
  const annotations =
    base === undefined || isDocker ? {} : { annotations: { [BASE_DIGEST]: base.manifest.descriptor.digest } };
  const manifest = { schemaVersion: 2, mediaType, config: config.descriptor, layers, ...annotations };
  return { config, manifest: document(mediaType, manifest) };
}

function configOf(image: NewImage, base: BaseDocuments | undefined): Json {
  const { author, layer } = image;
  const below = base === undefined ? scratch(image.base as Platform) : parse(base.config, "config");
  const rootfs = objectOf(below["rootfs"]);
  const diffIDs = [...arrayOf(rootfs["diff_ids"]), ...(layer === undefined ? [] : [layer.diffID])];
  return {
    ...below,
    created: image.createdAt.toISOString(),
    ...(author !== undefined && { author }),
    config: runConfigOf(objectOf(below["config"]), image.run ?? {}),
    rootfs: { ...rootfs, type: "layers", diff_ids: diffIDs },
    history: [...arrayOf(below["history"]), historyOf(image)],
  };
}

function scratch({ os, architecture, variant, osVersion, osFeatures }: Platform): Json {
  return {
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    ...(osVersion !== undefined && { "os.version": osVersion }),
    ...(osFeatures !== undefined && { "os.features": osFeatures }),
  };
}

/** OCI image-spec, config.md, "history". */
function historyOf({ createdAt, createdBy, author, comment, layer }: NewImage): Json {
  return {
    created: createdAt.toISOString(),
    ...(createdBy !== undefined && { created_by: createdBy }),
    ...(author !== undefined && { author }),
    ...(comment !== undefined && { comment }),
    ...(layer === undefined && { empty_layer: true }),
  };
}

/** Variables, labels, ports and volumes are added to those of the base; anything else takes the place of what the base has. */
function runConfigOf(below: Json, run: RunConfig): Json {
  const { entrypoint, cmd, env, user, workingDir, labels, exposedPorts, volumes, stopSignal } = run;
  return {
    ...below,
    ...(entrypoint !== undefined && { Entrypoint: entrypoint }),
    ...(cmd !== undefined && { Cmd: cmd }),
    ...(env !== undefined && { Env: mergeEnv(arrayOf(below["Env"]), env) }),
    ...(user !== undefined && { User: user }),
    ...(workingDir !== undefined && { WorkingDir: workingDir }),
    ...(labels !== undefined && { Labels: { ...objectOf(below["Labels"]), ...labels } }),
    ...(exposedPorts !== undefined && { ExposedPorts: { ...objectOf(below["ExposedPorts"]), ...named(exposedPorts) } }),
    ...(volumes !== undefined && { Volumes: { ...objectOf(below["Volumes"]), ...named(volumes) } }),
    ...(stopSignal !== undefined && { StopSignal: stopSignal }),
  };
}

function mergeEnv(below: readonly unknown[], env: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const variable of [...(below as string[]), ...env]) byName.set(variable.replace(/=.*$/s, ""), variable);
  return [...byName.values()];
}

function named(names: readonly string[]): Json {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function layerOf({ mediaType, digest, size }: Descriptor, isDocker: boolean): Descriptor {
  return { mediaType: isDocker ? DOCKER_LAYERS[layerCompression(mediaType) ?? "none"] : mediaType, digest, size };
}

function document(mediaType: string, value: Json): ImageDocument {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

function parse({ bytes, descriptor }: ImageDocument, what: string): Json {
  return JSON.parse(new TextDecoder().decode(bytes), (name, value: unknown) => {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      const state = `${JSON.stringify(name)} is a number over 2^53`;
      throw new SnapshotError("unsupported", `cannot write ${what} ${descriptor.digest} again: ${state}`);
    }
    return value;
  }) as Json;
}

/** Go writes null for what is empty. */
function objectOf(value: unknown): Json {
  return (value ?? {}) as Json;
}

function arrayOf(value: unknown): readonly unknown[] {
  return (value ?? []) as unknown[];
}
