import type { ReadTarEntry, TarReading } from "@lamella/fuzz";
import type { GoTarListing, GoTarRecord } from "@lamella/oracles";

/** What two readers say of one entry, in fields that can be compared. */
export type Fields = Readonly<Record<string, string>>;

/** By type flag. */
const KINDS: Readonly<Record<string, string>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

/** Why our reader refuses an entry that Go's reader takes. `holds` is asked of the entry, as Go has it. */
export interface Reason {
  readonly name: string;
  readonly message: RegExp;
  readonly holds: (record: GoTarRecord | undefined, tar: Uint8Array) => boolean;
}

/** Everything that our reader refuses and Go's does not: beyond a tar's format, what a layer cannot say or Linux cannot hold. */
export const REASONS: readonly Reason[] = [
  {
    name: "a type that no layer may have",
    message: /no layer may have an entry of type/,
    holds: (record) => record !== undefined && KINDS[record.type] === undefined,
  },
  {
    name: "a whiteout of nothing",
    message: /the whiteout does not name anything/,
    holds: (record) => /(^|\/)\.wh\.(\.{0,2})$/.test(record?.clean ?? ""),
  },
  {
    name: "an owner outside of 32 bits",
    message: /[ug]id -?\d+ is not one/,
    holds: (record) => [record?.uid, record?.gid].some((id = 0) => id < 0 || id > 2 ** 32 - 2),
  },
  {
    name: "a name of over 255 bytes",
    message: /a name in the path has over 255 bytes/,
    holds: (record) => record?.clean.split("/").some((name) => name.length > 255) === true,
  },
  {
    name: "a path or target over 4,095 bytes",
    message: /(the path|the target of the \w+) has over 409[56] bytes/,
    holds: (record) => record !== undefined && Math.max(record.clean.length, record.linkTarget.length) > 4095,
  },
  {
    name: "a link without a target",
    message: /link has no target/,
    holds: (record) => record?.linkTarget === "",
  },
  {
    name: "an extended attribute without a name",
    message: /an extended attribute has no name/,
    holds: (record) => record?.xattrs[""] !== undefined,
  },
  {
    name: "a tar that ends inside of a block, its padding or after extended headers",
    message: /the tar ends inside a (block|padding|data)/,
    holds: (_, tar) => tar.length % 512 !== 0,
  },
];

/** What is wrong with our reading by Go's, one line each; and which reasons were used. */
export function compareWithGo(
  ours: TarReading,
  go: GoTarListing,
  tar: Uint8Array,
): { differences: string[]; reasons: string[] } {
  const differences: string[] = [];
  const reasons: string[] = [];
  let at = 0;
  const next = (): GoTarRecord | undefined => {
    while (at < go.entries.length && isIgnored(go.entries[at])) at++;
    return go.entries[at++];
  };
  for (const [index, read] of ours.entries.entries()) {
    const record = next();
    // The content of an entry in which Go's reader has broken off is not all there.
    const cutOff = go.error !== undefined && at === go.entries.length;
    if (record === undefined) {
      if (go.error === undefined) differences.push(`entry ${index} is not in Go's listing`);
      break;
    }
    differences.push(...unequal(index, ourFields(read), goFields(record), cutOff ? ["sha256"] : []));
  }
  if (ours.refusal === undefined) {
    if (go.error !== undefined) differences.push(`Go refuses what we take: ${go.error}`);
    const left = go.error === undefined ? next() : undefined;
    if (left !== undefined) differences.push(`Go has an entry more: ${JSON.stringify(left.name)}`);
  } else if (go.error === undefined) {
    const { message } = ours.refusal;
    const rest = go.entries.slice(at);
    const reason = REASONS.find(
      (candidate) =>
        candidate.message.test(message) && [...rest, undefined].some((record) => candidate.holds(record, tar)),
    );
    if (reason === undefined) differences.push(`we refuse what Go takes: ${message}`);
    else reasons.push(reason.name);
  }
  return { differences, reasons };
}

/** Whether every file in Go's listing is a file of the layer, and neither a marker nor ignored. */
export function everyFileIsOne(ours: TarReading, go: GoTarListing): boolean {
  const files = go.entries.filter(({ type }) => KINDS[type] === "file");
  return files.length === ours.entries.filter(({ entry }) => entry.kind === "file").length;
}

/** Global headers, names that lead to the root (unless they are the root directory) and what aufs left behind. */
function isIgnored(record: GoTarRecord | undefined): boolean {
  if (record?.type === "g") return true;
  if (record === undefined || KINDS[record.type] === undefined) return false;
  if (record.name === "" || (record.clean === "" && record.type !== "5")) return true;
  const opaque = record.clean.endsWith("/.wh..wh..opq") || record.clean === ".wh..wh..opq";
  const inAufs = /(^|\/)\.wh\.\.wh\./;
  if (!inAufs.test(record.clean)) return false;
  return !opaque || record.type === "5" || inAufs.test(record.clean.slice(0, -".wh..wh..opq".length));
}

function ourFields({ entry, sha256 }: ReadTarEntry): Fields {
  return {
    path: entry.path,
    kind: entry.kind,
    mode: entry.mode.toString(8),
    owner: `${entry.uid}:${entry.gid}`,
    time: `${entry.mtimeSeconds}.${entry.mtimeNanoseconds}`,
    size: entry.kind === "file" ? String(entry.size) : "",
    target: entry.linkTarget,
    device: `${entry.deviceMajor}:${entry.deviceMinor}`,
    xattrs: JSON.stringify(
      [...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString("hex")]).toSorted(),
    ),
    sha256: entry.kind === "file" ? sha256 : "",
  };
}

function goFields(record: GoTarRecord): Fields {
  const marker = record.type === "5" ? undefined : /^([^]*\/|)\.wh\.([^/]*)$/.exec(record.clean);
  const kind = marker == null ? (KINDS[record.type] ?? "") : marker[2] === ".wh..opq" ? "opaque" : "whiteout";
  const parent = (marker?.[1] ?? "").replace(/\/$/, "");
  const path = marker == null ? record.clean : kind === "opaque" ? parent : `${marker[1]}${marker[2]}`;
  const isLink = kind === "symlink" || kind === "hardlink";
  const isDevice = kind === "char" || kind === "block";
  return {
    path,
    kind,
    mode: record.mode.toString(8),
    owner: `${record.uid}:${record.gid}`,
    time: `${clamped(record.seconds)}.${record.nanoseconds}`,
    size: kind === "file" ? String(record.size) : "",
    target: isLink ? record.linkTarget : "",
    device: isDevice ? `${record.deviceMajor}:${record.deviceMinor}` : "0:0",
    xattrs: JSON.stringify(Object.entries(record.xattrs).toSorted()),
    sha256: kind === "file" ? record.sha256 : "",
  };
}

/** Our reader clamps what no file system can store. */
function clamped(seconds: number): number {
  const most = 2 ** 52 - 1;
  return Math.min(Math.max(seconds, -most), most);
}

export function unequal(index: number, ours: Fields, theirs: Fields, except: readonly string[]): string[] {
  return Object.keys(ours)
    .filter((field) => ours[field] !== theirs[field] && !except.includes(field))
    .map((field) => `entry ${index}: ${field}: ${JSON.stringify(theirs[field])}, ours ${JSON.stringify(ours[field])}`);
}
