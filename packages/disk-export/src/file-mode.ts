import type { Entry, FileKind } from "@lamella/layer-format";

/** `S_IFMT` (POSIX sys/stat.h, Linux's numbers). */
const KIND_BITS: Readonly<Record<FileKind, number>> = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

/** `st_mode`: the kind and the permissions. */
export function fileMode(entry: Entry): number {
  return KIND_BITS[entry.kind] | (entry.mode & 0o7777);
}

export function isDevice(entry: Entry): boolean {
  return entry.kind === "char" || entry.kind === "block";
}
