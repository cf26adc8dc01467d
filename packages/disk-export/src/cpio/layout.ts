/*
 * cpio, "new ASCII" (newc). Facts from Linux: Documentation/driver-api/early-userspace/buffer-format.rst and cpio(5).
 *
 * An archive is a row of members, then one with the name TRAILER!!!, then zeros to a multiple of 512. A member:
 *
 *  +-------------+-----------------------+----------+------+----------+
 *  | header, 110 | name and a NUL        | 0 to 3   | data | 0 to 3   |
 *  |             |                       | zeros    |      | zeros    |
 *  +-------------+-----------------------+----------+------+----------+
 *  a multiple of 4                       a multiple of 4   a multiple of 4
 *
 * The header is the magic and thirteen numbers of eight hex digits each: `HEADER_FIELDS`.
 */

export const MAGIC = "070701";
export const HEADER_BYTES = 110;
export const ALIGNMENT = 4;
export const ARCHIVE_ALIGNMENT = 512;
export const TRAILER_NAME = "TRAILER!!!";

/** What eight hex digits hold. */
export const NUMBER_MAX = 0xffffffff;
/** The kernel skips a member whose name, with its NUL, is longer than `PATH_MAX`; a link's target too. */
export const NAME_MAX = 4095;

/**
 * A header's numbers, in their order. The source is the file system that a member comes from, the device what it is itself; the name's size
 * counts its NUL, and this variant of the format has no checksum.
 */
export const HEADER_FIELDS = [
  "inode",
  "mode",
  "uid",
  "gid",
  "links",
  "mtimeSeconds",
  "size",
  "sourceMajor",
  "sourceMinor",
  "deviceMajor",
  "deviceMinor",
  "nameSize",
  "checksum",
] as const;

export type CpioHeader = Readonly<Record<(typeof HEADER_FIELDS)[number], number>>;
