import type { Inode } from "./inode.js";
import { BLOCK_BYTES } from "./layout.js";
import { createScratch } from "./scratch.js";

/*
 * The journal (JBD2, version 2) is the contents of inode 8. Its first block says that it is empty, and while it does nobody reads the
 * others, which are zeros. Facts from Linux, Documentation/filesystems/ext4/journal.rst. Numbers are big-endian.
 */
const MAGIC = 0xc03b3998;
const BLOCK_TYPE = 4;
const FIRST_BLOCK = 1;
const FIRST_SEQUENCE = 1;
const USERS = 1;

/** Offsets in `journal_superblock_t`. `s_start` stays 0: nothing to replay. */
const JOURNAL = {
  magic: 0x0,
  blockType: 0x4,
  blockBytes: 0xc,
  blockCount: 0x10,
  firstBlock: 0x14,
  sequence: 0x18,
  uuid: 0x30,
  userCount: 0x40,
} as const;

/** What Linux asks for at least (`JBD2_MIN_JOURNAL_BLOCKS`). */
const BLOCKS_MIN = 1024;
/** As mke2fs has it: on disks of up to so many blocks (MiB of 256) a journal of so many; on larger ones of 1 GiB. */
const SIZES: readonly { readonly diskBlocks: number; readonly journalBlocks: number }[] = [
  { diskBlocks: 2048, journalBlocks: 0 },
  { diskBlocks: 32768, journalBlocks: BLOCKS_MIN },
  { diskBlocks: 2 ** 18, journalBlocks: 4096 },
  { diskBlocks: 2 ** 19, journalBlocks: 8192 },
  { diskBlocks: 2 ** 22, journalBlocks: 16384 },
  { diskBlocks: 2 ** 23, journalBlocks: 32768 },
  { diskBlocks: 2 ** 24, journalBlocks: 65536 },
  { diskBlocks: 2 ** 25, journalBlocks: 131072 },
];
const BLOCKS_MAX = 2 ** 18;

/**
 * - `never`
 * - `usual`: as large as mke2fs makes it; none on a disk of less than 8 MiB
 * - `always`: the same, but 4 MiB even on a small disk
 */
export type JournalPolicy = "never" | "usual" | "always";

/** How many blocks the journal of a disk of so many takes. */
export function countJournalBlocks(diskBlocks: number, policy: JournalPolicy): number {
  if (policy === "never") return 0;
  const usual = SIZES.find((size) => diskBlocks < size.diskBlocks)?.journalBlocks ?? BLOCKS_MAX;
  return policy === "always" ? Math.max(usual, BLOCKS_MIN) : usual;
}

/** The journal's first block. */
export function encodeJournalHead({ sizeBytes }: Inode, uuid: Uint8Array): Uint8Array {
  const { bytes, view } = createScratch(BLOCK_BYTES);
  view.setUint32(JOURNAL.magic, MAGIC);
  view.setUint32(JOURNAL.blockType, BLOCK_TYPE);
  view.setUint32(JOURNAL.blockBytes, BLOCK_BYTES);
  view.setUint32(JOURNAL.blockCount, sizeBytes / BLOCK_BYTES);
  view.setUint32(JOURNAL.firstBlock, FIRST_BLOCK);
  view.setUint32(JOURNAL.sequence, FIRST_SEQUENCE);
  view.setUint32(JOURNAL.userCount, USERS);
  bytes.set(uuid, JOURNAL.uuid);
  return bytes;
}
