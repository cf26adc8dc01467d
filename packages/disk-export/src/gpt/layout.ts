/*
 * A GUID partition table. Facts from the UEFI specification, 5 "GUID Partition Table (GPT) Disk Layout", and from the Discoverable Partitions
 * Specification (uapi-group.org).
 *
 *  sector 0       1         2 to 33    2,048                     -33             -1
 *  +------------+---------+----------+---+---------------------+---+-----------+--------+
 *  | protective | header  | entries  |   | the one partition   |   | entries   | header |
 *  | MBR        |         | 128x128  |   |                     |   |           |        |
 *  +------------+---------+----------+---+---------------------+---+-----------+--------+
 *
 * Numbers are little-endian, and so are the first three groups of a GUID.
 */

export const SECTOR_BYTES = 512;
export const ENTRY_BYTES = 128;
export const ENTRY_COUNT = 128;
export const ENTRIES_SECTORS: number = (ENTRY_BYTES * ENTRY_COUNT) / SECTOR_BYTES;
/** The MBR, the header and the entries. */
export const HEAD_SECTORS: number = 2 + ENTRIES_SECTORS;
/** The entries and the header. */
export const TAIL_SECTORS: number = ENTRIES_SECTORS + 1;
/** Where partitions begin at a multiple of: what every tool has settled on. */
export const PARTITION_ALIGNMENT: number = 1 << 20;

export const SIGNATURE = "EFI PART";
export const REVISION = 0x00010000;
export const HEADER_BYTES = 92;

/** Linux root partitions of the Discoverable Partitions Specification, by the architecture's name in an image. */
export const ROOT_TYPES: Readonly<Record<string, string>> = {
  "386": "44479540-f297-41b2-9af7-d131d5f0458a",
  amd64: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
  arm: "69dad710-2ce4-4e3c-b16c-21a1d49abed3",
  arm64: "b921b045-1df0-41c3-af44-4c6f280d3fae",
  loong64: "77055800-792c-4f94-b39a-98c91b762bb6",
  ppc64le: "c31c45e6-3f39-412e-80fb-4809c4980599",
  riscv64: "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
  s390x: "5eead9a9-fe09-4a1e-a1d7-520d00531306",
};

/** Bits 59 and 60 of a partition's attributes, in their upper half. */
export const GROW_FILE_SYSTEM: number = 1 << 27;
export const READ_ONLY: number = 1 << 28;
