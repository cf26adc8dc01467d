import { ALGORITHM, BLOCK_BYTES } from "./layout.js";

/** What it takes to open a disk that dm-verity guards. */
export interface Verity {
  /** 64 hex digits. The disk is what it was as long as this comes from a place that is trusted. */
  readonly rootHash: string;
  /** In hex; the superblock has it too. */
  readonly salt: string;
  readonly algorithm: "sha256";
  readonly blockBytes: 4096;
  readonly dataBlocks: number;
  /** In bytes, counted from where the file system begins: what `veritysetup --hash-offset` asks for. */
  readonly hashOffset: number;
}

/** Where the file system and its hash tree are, as the kernel names it: `/dev/vda`. */
export interface VerityDevice {
  device: string;
}

const SECTOR_BYTES = 512;

/**
 * The arguments of Linux's command line that open a guarded root without an initramfs (Documentation/admin-guide/device-mapper/dm-init.rst): they
 * need `CONFIG_DM_INIT`.
 */
export function verityKernelArguments(verity: Verity, { device }: VerityDevice): string {
  const { rootHash, salt, dataBlocks, hashOffset } = verity;
  const sectors = (dataBlocks * BLOCK_BYTES) / SECTOR_BYTES;
  // The kernel's target knows of no superblock: its tree begins a block later.
  const treeBlock = hashOffset / BLOCK_BYTES + 1;
  const blocks = `${BLOCK_BYTES} ${BLOCK_BYTES} ${dataBlocks} ${treeBlock}`;
  const table = `0 ${sectors} verity 1 ${device} ${device} ${blocks} ${ALGORITHM} ${rootHash} ${salt}`;
  return `dm-mod.create="root,,,ro,${table}" root=/dev/dm-0 ro`;
}
