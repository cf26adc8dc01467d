/**
 * What an untrusted layer may ask for. Passing one is a `layer_limit` error that names it.
 * The defaults let through every layer that a Linux system could unpack in practice.
 */
export interface LayerLimits {
  /** Entries of the layer. */
  readonly entries: number;
  /** Bytes of one extended header (PAX, GNU long name or link) or of one sparse map. Go's reader has the same limit. */
  readonly headerBytes: number;
  /** Bytes of a path; a symlink's target has one less. Linux' PATH_MAX. */
  readonly pathBytes: number;
  /** Bytes of one component of a path. Linux' NAME_MAX. */
  readonly nameBytes: number;
  /** Extended attributes of one entry. */
  readonly xattrs: number;
  /** Bytes of one extended attribute's value. Linux' XATTR_SIZE_MAX. */
  readonly xattrBytes: number;
  /** Ranges with data of one sparse file. */
  readonly extents: number;
  /** Bytes of all paths, link targets and extended attributes together, with 16 for each extent: what an index holds in memory. */
  readonly metadataBytes: number;
  /** Bytes of all files together, holes included. */
  readonly fileBytes: number;
  /** Bytes of the uncompressed tar. */
  readonly tarBytes: number;
}

export const DEFAULT_LAYER_LIMITS: LayerLimits = {
  entries: 2_000_000,
  headerBytes: 1 << 20,
  pathBytes: 4096,
  nameBytes: 255,
  xattrs: 1024,
  xattrBytes: 65_536,
  extents: 262_144,
  metadataBytes: 256 * 2 ** 20,
  fileBytes: 512 * 2 ** 30,
  tarBytes: 512 * 2 ** 30,
};

/** The name length that Linux allows an extended attribute (XATTR_NAME_MAX). */
export const XATTR_NAME_BYTES = 255;
