/** A platform as image indexes and configs name it (OCI image-spec, image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
}

/** Architectures whose usual variant is left out, or put in, so that one platform has one form. */
const ARCHITECTURE_ALIASES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  aarch64: { architecture: "arm64" },
  i386: { architecture: "386" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
};

const NODE_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  mipsel: "mipsle",
  loong64: "loong64",
};

/**
 * One form for each platform: lower case, `x86_64` is `amd64`, `aarch64` is `arm64`; the implied variants `arm64/v8` and `amd64/v1`
 * are left out, and 32-bit `arm` without a variant is `v7`. Features are sorted, each named once; an empty version is left out.
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const named = platform.architecture.toLowerCase();
  const alias = Object.hasOwn(ARCHITECTURE_ALIASES, named) ? ARCHITECTURE_ALIASES[named] : undefined;
  const architecture = alias?.architecture ?? named;
  const variant = alias?.variant ?? normalVariant(architecture, platform.variant?.toLowerCase() ?? "");
  const osFeatures = [...new Set(platform.osFeatures)].filter((feature) => feature !== "").toSorted();
  return {
    os: os === "macos" ? "darwin" : os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(platform.osVersion !== undefined && platform.osVersion !== "" && { osVersion: platform.osVersion }),
    ...(osFeatures.length > 0 && { osFeatures }),
  };
}

/** The platform of the machine this runs on; its images are always for Linux. Without a `process` (a browser): linux/amd64. */
export function hostPlatform(): Platform {
  const architecture = globalThis.process?.arch ?? "x64";
  return normalizePlatform({ os: "linux", architecture: NODE_ARCHITECTURES[architecture] ?? architecture });
}

function normalVariant(architecture: string, variant: string): string {
  const numbered = /^[0-9]/.test(variant) ? `v${variant}` : variant;
  switch (architecture) {
    case "386":
      return "";
    case "amd64":
      return numbered === "v1" ? "" : numbered;
    case "arm":
      return numbered === "" ? "v7" : numbered;
    case "arm64":
      return numbered === "v8" || numbered === "v8.0" ? "" : numbered === "v9.0" ? "v9" : numbered;
    default:
      return variant;
  }
}
