/** Whether the host of a URL (`URL.hostname`) is this machine: `localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopbackAddress(hostname: string): boolean {
  if (hostname === "localhost") return true;
  const bytes = addressBytes(hostname);
  if (bytes?.length === 4) return bytes[0] === 127;
  return bytes !== undefined && bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1;
}

/** Where clouds keep their metadata and credentials beside link-local addresses: Amazon's over IPv6, Alibaba's, and Google's by name. */
const METADATA: ReadonlySet<string> = new Set(["[fd00:ec2::254]", "100.100.100.200", "metadata.google.internal"]);

/** "This host" and link-local addresses, and those of clouds' metadata. */
export function isConfinedAddress(hostname: string): boolean {
  if (METADATA.has(hostname.replace(/\.$/, ""))) return true;
  const [first = -1, second = -1, ...rest] = addressBytes(hostname) ?? [];
  if (rest.length === 2) return first === 0 || (first === 169 && second === 254);
  const isUnspecified = [first, second, ...rest].every((byte) => byte === 0);
  return isUnspecified || (first === 0xfe && (second & 0xc0) === 0x80);
}

/**
 * The bytes of a literal address: four, or sixteen; four for IPv4 that is written as IPv6. `URL` has put it into its shortest form
 * already, so there is no other notation left to read (URL Standard, "host serializer").
 */
function addressBytes(hostname: string): number[] | undefined {
  if (/^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/.test(hostname)) return hostname.split(".").map(Number);
  const text = /^\[([0-9a-f:]+)\]$/.exec(hostname)?.[1];
  if (text === undefined) return undefined;
  const [head = "", tail] = text.split("::");
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  const bytes = [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 255]);
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  return isMapped ? bytes.slice(12) : bytes;
}

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
