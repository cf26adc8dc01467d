import { createHash } from "node:crypto";

import type { GeneratedEntry, GeneratedTar, TarReading } from "@lamella/fuzz";
import type { GnuTarListing, GnuTarRecord, GoTarListing, GoTarRecord } from "@lamella/oracles";

import { type Fields, unequal } from "./tar-comparison.js";

/** Why GNU tar and Go's archive/tar, which we follow, do not agree on fields of an entry. */
interface Reason {
  readonly name: string;
  readonly fields: readonly string[];
  /** Seen with some seeds only. */
  readonly isSeldom?: true;
  readonly holds: (entry: GeneratedEntry) => boolean;
}

const ALL = ["name", "type", "mode", "owner", "time", "size", "target", "device", "xattrs"];

export const GNU_REASONS: readonly Reason[] = [
  {
    name: "of a PAX and a GNU name GNU tar takes PAX's, Go GNU's",
    fields: ["name", "type"],
    holds: ({ nameStyle }) => nameStyle === "gnu-and-pax",
  },
  {
    name: "of a PAX and a GNU link target GNU tar takes PAX's, Go GNU's",
    fields: ["target"],
    holds: ({ linkStyle }) => linkStyle === "gnu-and-pax",
  },
  {
    name: "a PAX record without a value is none for Go, a wrong or an empty one for GNU tar",
    fields: ALL,
    holds: ({ records }) => records.some(([keyword, value]) => value === "" && keyword !== "comment"),
  },
  {
    name: "GNU tar shows an owner in 32 bits",
    fields: ["owner"],
    isSeldom: true,
    holds: hasWideOwner,
  },
  {
    name: "GNU tar shows the fraction of a time before 1970 counted backward",
    fields: ["time"],
    holds: ({ seconds, nanoseconds }) => seconds < 0 && nanoseconds > 0,
  },
  {
    name: "GNU tar knows no star header: it takes the end of its prefix for a longer one",
    fields: ["name", "type"],
    isSeldom: true,
    holds: hasStarPrefix,
  },
];

/** Why a whole tar cannot be compared from some entry on. */
export const GNU_ENDINGS: readonly { name: string; holds: (entry: GeneratedEntry) => boolean }[] = [
  {
    name: "GNU tar applies global headers, Go does not",
    holds: ({ globalRecords }) => globalRecords !== undefined,
  },
  {
    name: "GNU tar skips what a header without data says is its size, Go takes that for none",
    holds: ({ type, claimedSize }) => !"\x0007S".includes(type) && claimedSize > 0,
  },
];

function hasStarPrefix({ format, nameStyle }: GeneratedEntry): boolean {
  return format === "star" && nameStyle === "prefix";
}

function hasWideOwner({ uid, gid }: GeneratedEntry): boolean {
  return [uid, gid].some((id) => id < 0 || id > 2 ** 32 - 1);
}

/** GNU tar begins each range of a sparse file's data on a block, Go packs them: they agree where all but the last are whole blocks. */
export function hasPackedRanges({ sparse }: GeneratedEntry): boolean {
  const lengths = sparse?.spans.map(([, length]) => length).filter((length) => length > 0) ?? [];
  return lengths.slice(0, -1).some((length) => length % 512 !== 0);
}

const TYPES: Readonly<Record<string, string>> = {
  "\0": "0",
  S: "0",
  "-": "0",
  C: "7",
  d: "5",
  l: "2",
  h: "1",
  c: "3",
  b: "4",
  p: "6",
};

/** What GNU tar says otherwise than Go, one line each, and which reasons were used. */
export function compareWithGnu(
  generated: GeneratedTar,
  go: GoTarListing,
  gnu: GnuTarListing,
): { differences: string[]; reasons: string[] } {
  const differences: string[] = [];
  const reasons: string[] = [];
  const records = go.entries.filter(({ type }) => type !== "g");
  for (const [index, entry] of generated.entries.entries()) {
    const ending = GNU_ENDINGS.find(({ holds }) => holds(entry));
    if (ending !== undefined) {
      reasons.push(ending.name);
      break;
    }
    const [ofGo, ofGnu] = [records[index], gnu.entries[index]];
    if (ofGo === undefined && generated.ending === "cut") break;
    if (ofGo === undefined || ofGnu === undefined) {
      differences.push(`entry ${index} is missing: ${JSON.stringify(gnu.complaint)}`);
      break;
    }
    const all = unequal(index, goFields(ofGo), gnuFields(ofGnu, ofGo.type), []);
    const applying = GNU_REASONS.filter(({ holds }) => holds(entry));
    for (const difference of all) {
      const reason = applying.find(({ fields }) => fields.some((field) => difference.includes(`: ${field}: `)));
      if (reason === undefined) differences.push(difference);
      else reasons.push(reason.name);
    }
  }
  return { differences, reasons };
}

function goFields(record: GoTarRecord): Fields {
  const { type } = record;
  return {
    name: record.name,
    type: TYPES[type] ?? type,
    mode: record.mode.toString(8),
    owner: `${record.uid}/${record.gid}`,
    time: timeText(record),
    size: "0S7\0".includes(type) ? String(record.size) : "",
    target: type === "1" || type === "2" ? record.linkTarget : "",
    device: type === "3" || type === "4" ? `${record.deviceMajor},${record.deviceMinor}` : "",
    xattrs: JSON.stringify(
      Object.entries(record.xattrs)
        .map(([name, hex]) => [name, hex.length / 2])
        .toSorted(),
    ),
  };
}

function gnuFields(record: GnuTarRecord, type: string): Fields {
  return {
    name: record.name,
    type: TYPES[record.type] ?? record.type,
    mode: record.mode.toString(8),
    owner: `${record.uid}/${record.gid}`,
    time: record.time,
    size: "0S7\0".includes(type) ? record.size : "",
    target: record.linkTarget,
    device: type === "3" || type === "4" ? record.size : "",
    xattrs: JSON.stringify(Object.entries(record.xattrs).toSorted()),
  };
}

/** As GNU tar writes it, which has years before Christ and no padding of them. */
function timeText({ seconds, nanoseconds }: GoTarRecord): string {
  const iso = new Date(1000 * seconds).toISOString();
  const [, year = "", rest = ""] = /^([-+]?\d+)(-.*)\.\d+Z$/.exec(iso) ?? [];
  const fraction = nanoseconds === 0 ? "" : `.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
  return `${Number(year)}${rest.replace("T", " ")}${fraction}`;
}

/** The hash of all files' data with their holes, one after the other: what `tar --to-stdout` gives. */
export function contentsHash({ entries }: TarReading): string {
  const hash = createHash("sha256");
  for (const { entry, contents } of entries) {
    if (entry.kind !== "file") continue;
    const whole = Buffer.alloc(entry.size);
    let from = 0;
    for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }]) {
      whole.set(contents.subarray(from, from + length), offset);
      from += length;
    }
    hash.update(whole);
  }
  return hash.digest("hex");
}
