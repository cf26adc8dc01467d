/** OCI image-spec, media-types.md. */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_EMPTY = "application/vnd.oci.empty.v1+json";
export const OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar";
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
export const OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
const OCI_NONDISTRIBUTABLE_TAR = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const OCI_NONDISTRIBUTABLE_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const OCI_NONDISTRIBUTABLE_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";

/** Docker image manifest version 2, schema 2. */
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
export const DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar";
export const DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
export const DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
const DOCKER_FOREIGN_TAR = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const DOCKER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/** How a layer's tar is packed. */
export type LayerCompression = "none" | "gzip" | "zstd";

const LAYERS: Readonly<Record<string, LayerCompression>> = {
  [OCI_LAYER_TAR]: "none",
  [OCI_LAYER_GZIP]: "gzip",
  [OCI_LAYER_ZSTD]: "zstd",
  [DOCKER_LAYER_TAR]: "none",
  [DOCKER_LAYER_GZIP]: "gzip",
  [DOCKER_LAYER_ZSTD]: "zstd",
  [OCI_NONDISTRIBUTABLE_TAR]: "none",
  [OCI_NONDISTRIBUTABLE_GZIP]: "gzip",
  [OCI_NONDISTRIBUTABLE_ZSTD]: "zstd",
  [DOCKER_FOREIGN_TAR]: "none",
  [DOCKER_FOREIGN_GZIP]: "gzip",
};

const NONDISTRIBUTABLE: ReadonlySet<string> = new Set([
  OCI_NONDISTRIBUTABLE_TAR,
  OCI_NONDISTRIBUTABLE_GZIP,
  OCI_NONDISTRIBUTABLE_ZSTD,
  DOCKER_FOREIGN_TAR,
  DOCKER_FOREIGN_GZIP,
]);

export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** An OCI index or a Docker manifest list. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_MANIFEST_LIST;
}

/** What a registry keeps under `manifests/`, not under `blobs/`. */
export function isDocumentType(mediaType: string): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

export function isConfigType(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

export function isLayerType(mediaType: string): boolean {
  return layerCompression(mediaType) !== undefined;
}

/** How the layer is packed by its media type; undefined for what is not a layer. */
export function layerCompression(mediaType: string): LayerCompression | undefined {
  return Object.hasOwn(LAYERS, mediaType) ? LAYERS[mediaType] : undefined;
}

/** Docker's "foreign" layers: a registry may not hold them, only their `urls` do. */
export function isNondistributableType(mediaType: string): boolean {
  return NONDISTRIBUTABLE.has(mediaType);
}
