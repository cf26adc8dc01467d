import { createHash } from "node:crypto";

/** A file of an OCI layout, or of whatever stands in its place. */
export type LayoutFile =
  | { readonly path: string; readonly bytes: Uint8Array }
  | { readonly path: string; readonly symlinkTo: string }
  | { readonly path: string; readonly fifo: true };

/** A layer as an image has it. */
export interface LayerBlob {
  readonly blob: Uint8Array;
  readonly diffID: string;
  readonly mediaType: string;
}

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  [field: string]: unknown;
}

/** The documents of an image before they become bytes. Each change gives what is written: an object, or bytes as they are. */
export interface Changes {
  config?: (config: Record<string, unknown>) => Document;
  manifest?: (manifest: Record<string, unknown> & { layers: Descriptor[]; config: Descriptor }) => Document;
  /** The entry of the manifest in `index.json`. */
  entry?: (entry: Descriptor) => Descriptor;
  index?: (index: Record<string, unknown> & { manifests: Descriptor[] }) => Document;
  /** Further files, which replace those of the same path. */
  files?: readonly LayoutFile[];
}

type Document = object | Uint8Array;

export const LAYER: string = "application/vnd.oci.image.layer.v1.tar";
export const LAYER_GZIP: string = `${LAYER}+gzip`;
export const LAYER_ZSTD: string = `${LAYER}+zstd`;
export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const NAME = "org.opencontainers.image.ref.name";

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A layer that is a plain tar. */
export function plain(bytes: Uint8Array): LayerBlob {
  return { blob: bytes, diffID: sha256(bytes), mediaType: LAYER };
}

/** A layer that is compressed; `content` is its tar, where anyone will ever have it whole. */
export function packed(blob: Uint8Array, mediaType: string, content: Uint8Array = blob): LayerBlob {
  return { blob, diffID: sha256(content), mediaType };
}

/** An image of plain layers, the lowest first. */
export function imageOf(...tars: readonly Uint8Array[]): readonly LayoutFile[] {
  return image(tars.map(plain));
}

/** The files of an OCI layout that has one image, under the name `latest`. */
export function image(layers: readonly LayerBlob[], changes: Changes = {}): readonly LayoutFile[] {
  const config = encode(
    (changes.config ?? same)({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map(({ diffID }) => diffID) },
      history: [],
    }),
  );
  const manifest = encode(
    (changes.manifest ?? same)({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: describe(config, CONFIG),
      layers: layers.map(({ blob, mediaType }) => describe(blob, mediaType)),
    }),
  );
  const entry = (changes.entry ?? same)({ ...describe(manifest, MANIFEST), annotations: { [NAME]: "latest" } });
  const index = encode((changes.index ?? same)({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] }));
  const files = [
    { path: "oci-layout", bytes: encode({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", bytes: index },
    ...[...layers.map(({ blob }) => blob), config, manifest].map(blobFile),
    ...(changes.files ?? []),
  ];
  return [...new Map(files.map((each) => [each.path, each])).values()];
}

export function describe(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: sha256(bytes), size: bytes.length };
}

export function blobFile(bytes: Uint8Array): LayoutFile {
  return { path: blobPath(bytes), bytes };
}

function blobPath(bytes: Uint8Array): string {
  return `blobs/${sha256(bytes).replace(":", "/")}`;
}

export function encode(document: Document): Uint8Array {
  return document instanceof Uint8Array ? document : Buffer.from(JSON.stringify(document));
}

function same<T>(document: T): T {
  return document;
}
