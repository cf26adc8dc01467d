/**
 * A tar header block, as far as the formats agree (POSIX.1-2001 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").
 *
 *     0        100  108 116 124   136   148    156 157      257   263 265   297   329  337  345                    500
 *     | name   |mode|uid|gid|size |mtime|chksum|tp |linkname|magic|ver|uname|gname|major|minor| prefix, or:           |
 *                                                                                             | GNU:  atime ctime … sparse[4] 386, more 482, real size 483
 *                                                                                             | star: prefix[131] atime 476, ctime 488, "tar\0" 508
 */
export const BLOCK_BYTES = 512;

export interface Field {
  readonly at: number;
  readonly length: number;
}

export const NAME: Field = { at: 0, length: 100 };
export const MODE: Field = { at: 100, length: 8 };
export const UID: Field = { at: 108, length: 8 };
export const GID: Field = { at: 116, length: 8 };
export const SIZE: Field = { at: 124, length: 12 };
export const MTIME: Field = { at: 136, length: 12 };
export const CHECKSUM: Field = { at: 148, length: 8 };
export const TYPE_AT = 156;
export const LINK_NAME: Field = { at: 157, length: 100 };
export const MAGIC_AT = 257;
export const DEVICE_MAJOR: Field = { at: 329, length: 8 };
export const DEVICE_MINOR: Field = { at: 337, length: 8 };
export const PREFIX: Field = { at: 345, length: 155 };

export const STAR_PREFIX: Field = { at: 345, length: 131 };
export const STAR_ATIME: Field = { at: 476, length: 12 };
export const STAR_CTIME: Field = { at: 488, length: 12 };
export const STAR_TRAILER_AT = 508;

export const GNU_ATIME: Field = { at: 345, length: 12 };
export const GNU_CTIME: Field = { at: 357, length: 12 };
/** A span of the old GNU sparse map: offset and length, twelve bytes each. */
export const GNU_SPAN_BYTES = 24;
export const GNU_NUMBER_BYTES = 12;
export const GNU_SPANS_AT = 386;
export const GNU_SPANS = 4;
export const GNU_MORE_AT = 482;
export const GNU_REAL_SIZE: Field = { at: 483, length: 12 };
/** An extension block of that map holds 21 spans and a flag that another one follows. */
export const GNU_EXTENSION_SPANS = 21;
export const GNU_EXTENSION_MORE_AT = 504;

/** `ustar\0` (the version is not looked at) and GNU's `ustar  \0`. */
export const USTAR_MAGIC = "ustar\0";
export const GNU_MAGIC = "ustar  \0";
export const STAR_TRAILER = "tar\0";

/** Type flags by the code of their character. */
export const TYPE = {
  oldFile: 0x00,
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
  contiguous: 0x37,
  longLink: 0x4b,
  longName: 0x4c,
  gnuSparse: 0x53,
  paxGlobal: 0x67,
  pax: 0x78,
} as const;

/** Links, devices, directories and FIFOs have no data, whatever their header's size says. */
export function isHeaderOnly(type: number): boolean {
  return type >= TYPE.hardlink && type <= TYPE.fifo;
}
