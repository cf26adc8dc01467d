import { basename, extname } from "node:path";

import type { DiskFormat, Ext4Options, PlanDiskOptions } from "@lamella/disk-export";
import { LamellaError } from "@lamella/refs";

import { sourceDateEpoch } from "./source-date.js";

export const DISK_FORMATS: readonly DiskFormat[] = ["ext4", "erofs", "cpio", "tar"];
export const COMPRESSIONS = ["none", "lz4", "deflate", "zstd", "gzip"] as const;

/** The flags of `lamella disk` that say what the disk shall be like. */
export interface DiskFlags {
  size?: number;
  free?: number;
  journal?: boolean;
  inodes?: number;
  reserved?: number;
  compress?: (typeof COMPRESSIONS)[number];
  dedupe?: boolean;
  threads?: number;
  label?: string;
  uuid?: string;
  kernel?: string;
  verity?: boolean;
  gpt?: boolean;
  align?: number;
}

type Flag = keyof DiskFlags;

const FLAGS_OF: Readonly<Record<DiskFormat, readonly Flag[]>> = {
  ext4: ["size", "free", "journal", "inodes", "reserved", "label", "uuid", "kernel", "verity", "gpt", "align"],
  erofs: ["compress", "dedupe", "threads", "label", "uuid", "kernel", "verity", "gpt", "align"],
  cpio: ["compress", "align"],
  tar: ["compress", "align"],
};
const FLAGS: readonly Flag[] = [...new Set(Object.values(FLAGS_OF).flat())];

const COMPRESSIONS_OF: Readonly<Partial<Record<DiskFormat, readonly string[]>>> = {
  erofs: ["none", "lz4", "deflate", "zstd"],
  cpio: ["none", "gzip"],
  tar: ["none", "gzip"],
};

export interface PlanContext {
  /** Of the image, for the type of its partition. */
  architecture: string;
  environment: NodeJS.ProcessEnv;
}

/**
 * Refuses flags that do not go with the format or with each other: none is silently ignored.
 * @throws {LamellaError} `option_invalid`
 */
export function requireDiskFlags(format: DiskFormat, flags: DiskFlags): void {
  for (const flag of FLAGS) {
    if (flags[flag] === undefined || FLAGS_OF[format].includes(flag)) continue;
    const others = DISK_FORMATS.filter((other) => FLAGS_OF[other].includes(flag));
    throw invalid(`cannot use --${flag} for ${format}: it is for ${others.join(", ")}`);
  }
  const compressions = COMPRESSIONS_OF[format] ?? [];
  if (flags.compress !== undefined && !compressions.includes(flags.compress)) {
    throw invalid(`cannot use --compress ${flags.compress} for ${format}: it has ${compressions.join(", ")}`);
  }
  if (flags.threads !== undefined && (flags.compress ?? "none") === "none")
    throw invalid("cannot use --threads without --compress: nothing is done by more than one");
  if (flags.dedupe === true && (flags.compress ?? "none") !== "none")
    throw invalid(`cannot use --dedupe with --compress ${flags.compress}: a disk is the one or the other`);
  if (flags.verity === true && flags.journal === true)
    throw invalid("cannot use --journal with --verity: nobody can write to a disk that is verified");
}

/**
 * Options for the planner out of flags and SOURCE_DATE_EPOCH.
 * @throws {LamellaError} `option_invalid`, as {@link requireDiskFlags} does
 */
export function planOptions(
  format: DiskFormat,
  flags: DiskFlags,
  { architecture, environment }: PlanContext,
): PlanDiskOptions {
  requireDiskFlags(format, flags);
  const { verity, compress } = flags;
  const envelope = given({ alignBytes: flags.align });
  const volume = given({ verity, gpt: flags.gpt === true ? { architecture } : undefined });
  switch (format) {
    case "ext4": {
      // A disk that nobody can write to needs no journal, whatever its size.
      const journal = verity === true ? { journal: false } : {};
      const room = given({ sizeBytes: flags.size, freeBytes: flags.free });
      return { format, ...journal, ...ext4Options(flags, environment), ...room, ...volume, ...envelope };
    }
    case "erofs": {
      const compression = compress === "gzip" ? undefined : compress;
      const own = given({ compression, dedupe: flags.dedupe, threads: flags.threads });
      return { format, ...own, ...fileSystemOptions(flags, environment), ...volume, ...envelope };
    }
    default:
      return { format, ...(compress === "gzip" && { compression: compress }), ...envelope };
  }
}

/** Those of any ext4, but its size. */
export function ext4Options(
  flags: DiskFlags,
  environment: NodeJS.ProcessEnv,
): Omit<Ext4Options, "sizeBytes" | "freeBytes"> {
  const { journal, inodes, reserved: reservedPercent } = flags;
  return { ...fileSystemOptions(flags, environment), ...given({ journal, inodes, reservedPercent }) };
}

function fileSystemOptions({ label, uuid, kernel }: DiskFlags, environment: NodeJS.ProcessEnv) {
  return given({ label, uuid, kernel, epochSeconds: sourceDateEpoch(environment) });
}

/** Without what was not given. */
function given<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}

/** What an output's name says of the disk: `rootfs.erofs`, `initrd.cpio.gz`; ext4 where it says nothing. */
export function formatOfName(output: string): { format: DiskFormat; flags: DiskFlags } {
  const name = basename(output);
  const compressed = extname(name) === ".gz";
  const suffix = extname(compressed ? basename(name, ".gz") : name).slice(1);
  const format = DISK_FORMATS.find((known) => known === suffix) ?? "ext4";
  const isArchive = format === "cpio" || format === "tar";
  return { format, flags: compressed && isArchive ? { compress: "gzip" } : {} };
}

function invalid(message: string): LamellaError {
  return new LamellaError("option_invalid", message);
}
