import { DiskExportError } from "./errors.js";

/** Something that a disk uses, and the first Linux that reads it. */
export interface KernelFeature {
  /** As it reads after "it uses": "compression by LZ4". */
  readonly name: string;
  /** "5.13" */
  readonly since: string;
}

/**
 * The first Linux that reads all of `features`: the latest of their versions.
 *
 * @param wanted a version that has to read them; any will do where there is none
 * @throws {DiskExportError} `unsupported` where the wanted version does not; `option_invalid` where it is none
 */
export function requireKernel(features: readonly KernelFeature[], wanted: string | undefined): string {
  const limit = wanted === undefined ? Infinity : versionNumber(wanted);
  const tooNew = features.find(({ since }) => versionNumber(since) > limit);
  if (tooNew !== undefined) {
    throw new DiskExportError(
      "unsupported",
      `cannot make a disk for Linux ${wanted}: it uses ${tooNew.name}, which needs ${tooNew.since}`,
    );
  }
  return features.reduce(
    (latest, { since }) => (versionNumber(since) > versionNumber(latest) ? since : latest),
    features[0]?.since ?? "",
  );
}

function versionNumber(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})(?:[.-].*)?$/.exec(text);
  if (match === null)
    throw new DiskExportError("option_invalid", `cannot use kernel ${JSON.stringify(text)}: not a version as 6.1`);
  return Number(match[1]) * 1000 + Number(match[2]);
}
