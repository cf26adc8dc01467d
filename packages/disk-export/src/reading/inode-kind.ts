import type { FileKind } from "@lamella/layer-format";

/** `S_IFMT >> 12` */
const KINDS: Readonly<Record<number, FileKind>> = {
  1: "fifo",
  2: "char",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};

/** What an inode with this `st_mode` is; undefined where it is nothing. */
export function kindOfMode(mode: number): FileKind | undefined {
  return KINDS[mode >>> 12];
}

export interface DeviceNumber {
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export const NO_DEVICE: DeviceNumber = { deviceMajor: 0, deviceMinor: 0 };

/** Linux's `new_decode_dev`. */
export function decodeDevice(device: number): DeviceNumber {
  return { deviceMajor: (device >>> 8) & 0xfff, deviceMinor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}
