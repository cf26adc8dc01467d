import { createHash } from "node:crypto";

import { DiskExportError } from "@lamella/disk-export";
import type { ErofsLayerOptions, PlanDiskOptions } from "@lamella/disk-export";
import { formatPlatform } from "@lamella/refs";
import type { Digest, Platform } from "@lamella/refs";
import { parseStored } from "./database/stored-json.js";

/** Goes up whenever a writer gives other bytes for the same tree and options: disks of before are then not found. */
const WRITER_VERSION = 1;

/** What does not change a disk's bytes. */
type Incidental = "signal" | "onProgress" | "threads" | "spoolDirectory" | "kernel";
type Lasting<Options> = Options extends unknown ? Omit<Options, Incidental> : never;

/**
 * What disk of an image is wanted, as plain JSON: a format with those of its options that change the bytes. `erofs-layers` is an EROFS disk for
 * each layer, to be laid on each other by overlayfs; every other format is one disk of the merged tree.
 */
export type DiskRequest =
  | Lasting<PlanDiskOptions>
  | ({ format: "erofs-layers" } & Omit<ErofsLayerOptions, Incidental | "uuid">);

const FILE_SYSTEM = ["label", "uuid", "epochSeconds", "verity", "gpt", "alignBytes"];
const EROFS = ["compression", "dedupe", "wholeBlocks"];
const OPTIONS: Readonly<Record<DiskRequest["format"], readonly string[]>> = {
  ext4: [...FILE_SYSTEM, "sizeBytes", "freeBytes", "journal", "inodes", "reservedPercent"],
  erofs: [...FILE_SYSTEM, ...EROFS],
  cpio: ["compression", "alignBytes"],
  tar: ["compression", "alignBytes"],
  "erofs-layers": ["label", "epochSeconds", "overlayXattrs", ...EROFS],
};
/** Said or not, they give the same disk. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  label: "",
  epochSeconds: 0,
  verity: false,
  compression: "none",
  dedupe: false,
  wholeBlocks: false,
  reservedPercent: 0,
  overlayXattrs: "trusted",
};

/**
 * The options of a request as text: equal for equal disks, without the format. What they are worth is for the disk's writer to say.
 * @throws {DiskExportError} `option_invalid` for a format or an option that there is not
 */
export function canonicalOptions({ format, ...options }: DiskRequest): string {
  if (!Object.hasOwn(OPTIONS, format)) {
    const known = Object.keys(OPTIONS).join(", ");
    throw new DiskExportError("option_invalid", `cannot make a disk of format ${JSON.stringify(format)}: not ${known}`);
  }
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options).toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    if (!OPTIONS[format].includes(name)) {
      throw new DiskExportError("option_invalid", `cannot use ${JSON.stringify(name)} for ${format}: no option of it`);
    }
    if (value !== undefined && value !== DEFAULTS[name]) kept[name] = value;
  }
  return JSON.stringify(kept);
}

/** The request that a format and canonical options were made of. */
export function parseRequest(format: string, options: string): DiskRequest {
  return { ...(parseStored(options) as object), format } as DiskRequest;
}

/** What a disk is made of. */
export interface DiskIngredients {
  /** Base first. */
  readonly diffIDs: readonly Digest[];
  readonly platform: Platform;
  readonly request: DiskRequest;
}

/**
 * The keys of the disks of an image, 64 hex digits each: one; or, for `erofs-layers`, one for each layer, base first, which images with the same layers
 * up to there share. SHA-256 of the parts, each after its length in 8 bytes, so that no two lists of parts are the same bytes.
 */
export function diskKeys({ diffIDs, platform, request }: DiskIngredients): string[] {
  const head = ["lamella disk", String(WRITER_VERSION), request.format, canonicalOptions(request)];
  const keyOf = (layers: readonly Digest[]): string => framedHash([...head, formatPlatform(platform), ...layers]);
  if (request.format !== "erofs-layers") return [keyOf(diffIDs)];
  return diffIDs.map((_, layer) => keyOf(diffIDs.slice(0, layer + 1)));
}

function framedHash(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const bytes = Buffer.from(part);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
    hash.update(length).update(bytes);
  }
  return hash.digest("hex");
}
