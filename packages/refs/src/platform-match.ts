import type { Descriptor } from "./descriptor.js";
import { isManifestType } from "./media-types.js";
import { normalizePlatform, type Platform } from "./platform.js";

const ATTESTATION_ANNOTATION = "vnd.docker.reference.type";

interface Rung {
  readonly architecture: string;
  readonly variant: string;
}

/**
 * Whether an image for `offered` runs on `wanted`. The ladder is containerd's: `arm/v7` also runs v6 and v5, `amd64/v3` also v2 and plain
 * amd64, `arm64` also 32-bit arm, `amd64` also 386. Every OS feature that the image needs must be among the wanted ones.
 */
export function matchPlatform(offered: Platform, wanted: Platform): boolean {
  return rungOf(offered, wanted) !== undefined;
}

/**
 * The manifest of an index that fits the wanted platform best, the first of several equals. Attestations, artifacts and nested
 * indexes are passed over. A manifest that names no platform is taken only when none that names one fits: then its config decides.
 */
export function selectPlatform(descriptors: Iterable<Descriptor>, wanted: Platform): Descriptor | undefined {
  let best: Descriptor | undefined;
  let bestRung = Number.POSITIVE_INFINITY;
  let unnamed: Descriptor | undefined;
  for (const descriptor of descriptors) {
    if (!isImageManifest(descriptor)) continue;
    if (descriptor.platform === undefined) {
      unnamed ??= descriptor;
      continue;
    }
    const rung = rungOf(descriptor.platform, wanted);
    if (rung !== undefined && rung < bestRung) {
      best = descriptor;
      bestRung = rung;
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

/** How far down the ladder the offered platform stands; 0 is an exact match. */
function rungOf(offered: Platform, wanted: Platform): number | undefined {
  const image = normalizePlatform(offered);
  const host = normalizePlatform(wanted);
  if (image.os !== host.os) return undefined;
  if (host.osVersion !== undefined && image.osVersion !== host.osVersion) return undefined;
  if (!(image.osFeatures ?? []).every((feature) => host.osFeatures?.includes(feature))) return undefined;
  const index = ladder(host).findIndex(
    ({ architecture, variant }) => architecture === image.architecture && variant === (image.variant ?? ""),
  );
  return index < 0 ? undefined : index;
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

/** ARMv9.n holds what ARMv8.(n + 5) does, so v9 runs v8 up to v8.5. */
function olderArm64(variant: string): Rung[] {
  const match = /^v([89])(?:\.([0-9]))?$/.exec(variant);
  if (match === null) return [];
  const minor = Number(match[2] ?? 0);
  const older9 = match[1] === "9" ? downFrom(minor, 0).map((n) => (n === 0 ? "v9" : `v9.${n}`)) : [];
  const newest8 = match[1] === "9" ? minor + 6 : minor;
  const older8 = downFrom(newest8, 0).map((n) => (n === 0 ? "" : `v8.${n}`));
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
