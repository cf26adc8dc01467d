import type { PlanDiskOptions } from "@lamella/disk-export";
import { LamellaError } from "@lamella/refs";

/** The flags of `lamella disk` that say what the disk shall be like. */
export interface DiskFlags {
  size?: number;
  free?: number;
  label?: string;
  uuid?: string;
}

type DiskFormat = PlanDiskOptions["format"];

export const DISK_FORMATS: readonly DiskFormat[] = ["ext4", "erofs", "cpio"];

const FLAGS_OF: Readonly<Record<DiskFormat, readonly (keyof DiskFlags)[]>> = {
  ext4: ["size", "free", "label", "uuid"],
  erofs: ["label", "uuid"],
  cpio: [],
};

/**
 * Options for the planner out of flags and SOURCE_DATE_EPOCH.
 * @throws {LamellaError} `option_invalid` for a flag that the format has no use for: none is silently ignored
 */
export function planOptions(format: DiskFormat, flags: DiskFlags, environment: NodeJS.ProcessEnv): PlanDiskOptions {
  for (const flag of ["size", "free", "label", "uuid"] as const) {
    if (flags[flag] === undefined || FLAGS_OF[format].includes(flag)) continue;
    throw new LamellaError("option_invalid", `cannot use --${flag} for ${format}: the format has no such thing`);
  }
  const epochSeconds = sourceDateEpoch(environment["SOURCE_DATE_EPOCH"]);
  return {
    format,
    ...(flags.size === undefined ? {} : { sizeBytes: flags.size }),
    ...(flags.free === undefined ? {} : { freeBytes: flags.free }),
    ...(flags.label === undefined ? {} : { label: flags.label }),
    ...(flags.uuid === undefined ? {} : { uuid: flags.uuid }),
    ...(epochSeconds === undefined ? {} : { epochSeconds }),
  };
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
function sourceDateEpoch(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const seconds = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(seconds)) return seconds;
  throw new LamellaError(
    "option_invalid",
    `cannot use SOURCE_DATE_EPOCH ${JSON.stringify(text)}: not a count of seconds`,
  );
}
