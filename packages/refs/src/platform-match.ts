import type { Descriptor } from "./descriptor.js";
import { isManifestType } from "./media-types.js";
import { normalizePlatform, type Platform } from "./platform.js";
import { compareWindowsVersions, runsOnWindows } from "./windows-version.js";

const ATTESTATION_ANNOTATION = "vnd.docker.reference.type";

interface Rung {
  readonly architecture: string;
  readonly variant: string;
}

/** Every Windows image has it, and containerd does not count it. */
const WINDOWS_BASE_FEATURE = "win32k";

interface Fit {
  /** How far down the ladder the offered platform stands; 0 is an exact match. */
  readonly rung: number;
  readonly image: Platform;
}

/**
 * Whether an image for `offered` runs on `wanted`. The ladder is containerd's: `arm/v7` also runs v6 and v5, `amd64/v3` also v2 and plain
 * amd64, `arm64` also 32-bit arm, `amd64` also 386. Every OS feature that the image needs must be among the wanted ones. The OS
 * version counts on Windows alone, where a host runs images of its own build and, from Windows Server 2022 on, of some before it.
 */
export function matchPlatform(offered: Platform, wanted: Platform): boolean {
  return fitOf(offered, wanted) !== undefined;
}

/**
 * The manifest of an index that fits the wanted platform best: the nearest processor, then the most OS features, then the newest Windows;
 * the first of several equals. Attestations, artifacts and nested indexes are passed over. A manifest that names no platform is
 * taken only when none that names one fits: then its config decides.
 */
export function selectPlatform(descriptors: Iterable<Descriptor>, wanted: Platform): Descriptor | undefined {
  let best: Descriptor | undefined;
  let bestFit: Fit | undefined;
  let unnamed: Descriptor | undefined;
  for (const descriptor of descriptors) {
    if (!isImageManifest(descriptor)) continue;
    if (descriptor.platform === undefined) {
      unnamed ??= descriptor;
      continue;
    }
    const fit = fitOf(descriptor.platform, wanted);
    if (fit !== undefined && (bestFit === undefined || isBetter(fit, bestFit))) {
      best = descriptor;
      bestFit = fit;
    }
  }
  return best ?? unnamed;
}

function isImageManifest({ mediaType, artifactType, platform, annotations }: Descriptor): boolean {
  const isUnknown = platform?.os === "unknown" && platform.architecture === "unknown";
  return (
    isManifestType(mediaType) &&
    artifactType === undefined &&
    !isUnknown &&
    annotations?.[ATTESTATION_ANNOTATION] === undefined
  );
}

function fitOf(offered: Platform, wanted: Platform): Fit | undefined {
  const image = normalizePlatform(offered);
  const host = normalizePlatform(wanted);
  if (image.os !== host.os) return undefined;
  const isWindows = host.os === "windows";
  if (isWindows && !runsOnWindows(image.osVersion, host.osVersion)) return undefined;
  const has = (feature: string) =>
    host.osFeatures?.includes(feature) === true || (isWindows && feature === WINDOWS_BASE_FEATURE);
  if (!(image.osFeatures ?? []).every(has)) return undefined;
  const rung = ladder(host).findIndex(
    ({ architecture, variant }) => architecture === image.architecture && variant === (image.variant ?? ""),
  );
  return rung < 0 ? undefined : { rung, image };
}

function isBetter(fit: Fit, than: Fit): boolean {
  if (fit.rung !== than.rung) return fit.rung < than.rung;
  const moreFeatures = (fit.image.osFeatures?.length ?? 0) - (than.image.osFeatures?.length ?? 0);
  if (moreFeatures !== 0) return moreFeatures > 0;
  return fit.image.os === "windows" && compareWindowsVersions(fit.image.osVersion, than.image.osVersion) > 0;
}

function ladder({ architecture, variant = "" }: Platform): Rung[] {
  const exact = { architecture, variant };
  switch (architecture) {
    case "amd64":
      return [
        exact,
        ...downFrom(versionOf(variant), 1).map((version) => rung("amd64", version, 1)),
        { architecture: "386", variant: "" },
      ];
    case "arm":
      return [exact, ...downFrom(versionOf(variant), 5).map((version) => rung("arm", version))];
    case "arm64":
      return [exact, ...olderArm64(variant), ...downFrom(9, 5).map((version) => rung("arm", version))];
    default:
      return [exact];
  }
}

/** ARMv9.n holds what ARMv8.(n + 5) does, so v9 runs v8 up to v8.5; v8.9 is the last of its line. */
function olderArm64(variant: string): Rung[] {
  const match = /^v([89])(?:\.([0-9]))?$/.exec(variant);
  if (match === null) return [];
  const minor = Number(match[2] ?? 0);
  const older9 = match[1] === "9" ? downFrom(minor, 0).map((n) => (n === 0 ? "v9" : `v9.${n}`)) : [];
  const above8 = match[1] === "9" ? Math.min(minor + 6, 10) : minor;
  const older8 = downFrom(above8, 0).map((n) => (n === 0 ? "" : `v8.${n}`));
  return [...older9, ...older8].map((older) => ({ architecture: "arm64", variant: older }));
}

function rung(architecture: string, version: number, impliedVersion?: number): Rung {
  return { architecture, variant: version === impliedVersion ? "" : `v${version}` };
}

/** The whole numbers below `from`, the highest first, the last of them `to`. */
function downFrom(from: number, to: number): number[] {
  return Array.from({ length: Math.max(from - to, 0) }, (_, index) => from - 1 - index);
}

function versionOf(variant: string): number {
  const match = /^v([0-9]{1,2})$/.exec(variant);
  return match === null ? 0 : Number(match[1]);
}
