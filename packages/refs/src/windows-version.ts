/** Windows Server 2022 and 2025: from the first on, a host runs the images of every build back to the release before its own. */
const STABLE_RELEASES = [20348, 26100] as const;

interface WindowsVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/**
 * Whether a Windows of version `host` runs an image made for version `image`, `major.minor.build[.revision]` each; the revision plays
 * no part. A host whose version is not known runs all, and an image without a version runs anywhere.
 * Facts from Microsoft's "Windows container version compatibility", decided as containerd does.
 */
export function runsOnWindows(image: string | undefined, host: string | undefined): boolean {
  const wanted = parse(host);
  if (wanted === undefined || image === undefined) return true;
  const offered = parse(image);
  if (offered === undefined || offered.major !== wanted.major || offered.minor !== wanted.minor) return false;
  if (wanted.build < STABLE_RELEASES[0]) return offered.build === wanted.build;
  const oldest = STABLE_RELEASES.findLast((release) => release < wanted.build) ?? STABLE_RELEASES[0];
  return oldest <= offered.build && offered.build <= wanted.build;
}

/** Orders dotted versions by their numbers, the older first; none is older than any. */
export function compareWindowsVersions(left = "", right = ""): number {
  const [a, b] = [numbersOf(left), numbersOf(right)];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? -1) - (b[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}

function parse(version = ""): WindowsVersion | undefined {
  const match = /^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,5})(?:\.|$)/.exec(version);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]), build: Number(match[3]) };
}

function numbersOf(version: string): number[] {
  return version === "" ? [] : version.split(".").map((part) => (/^[0-9]{1,9}$/.test(part) ? Number(part) : -1));
}
