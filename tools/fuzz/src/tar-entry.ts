import {
  BLOCK_BYTES,
  base256,
  type Field,
  headerBlock,
  longHeader,
  octal,
  padded,
  type PaxRecord,
  paxHeader,
  type TarFormat,
} from "./tar-bytes.js";

/** Where a name or a link's target stands. What does not fit its place goes into a PAX record. */
type TextStyle = "header" | "prefix" | "pax" | "gnu" | "gnu-and-pax";

/** How a number stands in its field, or that a PAX record has it. What does not fit becomes binary. */
type NumberStyle = "octal" | "spaced" | "full" | "binary" | "pax";

export type SparseStyle = "old" | "0.0" | "0.1" | "1.0";

/** One entry to be written, and in which of the many ways. Names are byte strings. */
export interface GeneratedEntry {
  readonly format: TarFormat;
  readonly type: string;
  readonly name: string;
  readonly nameStyle: TextStyle;
  readonly linkName: string;
  readonly linkStyle: TextStyle;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly numberStyle: NumberStyle;
  readonly seconds: number;
  /** With a fraction the time is a PAX record, whatever the style. */
  readonly nanoseconds: number;
  readonly timeStyle: NumberStyle;
  readonly device: readonly [major: number, minor: number];
  readonly content: Uint8Array;
  readonly sparse?: { readonly style: SparseStyle; readonly spans: readonly Span[]; readonly size: number } | undefined;
  readonly xattrs: readonly (readonly [name: string, value: string])[];
  /** Further PAX records, after those above. */
  readonly records: readonly PaxRecord[];
  readonly globalRecords?: readonly PaxRecord[] | undefined;
  /** The size that a header without data claims. */
  readonly claimedSize: number;
}

export type Span = readonly [offset: number, length: number];

/** Spans of the old sparse format that stand in the header, and in each block after it. */
const HEADER_SPANS = 4;
const EXTENSION_SPANS = 21;
const HEADER_SPANS_AT = 386;
const MORE_AT = 482;
const REAL_SIZE_AT = 483;
const DATA_TYPES = "\x0007S";

export function hasData(type: string): boolean {
  return DATA_TYPES.includes(type);
}

/** The entry with all the headers that it needs. */
export function encodeEntry(entry: GeneratedEntry): Buffer {
  const records: PaxRecord[] = [];
  const before: Buffer[] = [];
  if (entry.globalRecords !== undefined) before.push(paxHeader(entry.globalRecords, "g"));
  const body = encodeBody(entry, records);
  const name = placeText(entry.name, entry.nameStyle, "path", before, records);
  const link = placeText(entry.linkName, entry.linkStyle, "linkpath", before, records);
  const size = hasData(entry.type)
    ? body.length - (entry.sparse?.style === "old" ? oldMapBytes(entry.sparse.spans) : 0)
    : entry.claimedSize;
  const header = headerBlock({
    format: entry.format,
    type: entry.type,
    name: name.text,
    prefix: name.prefix,
    linkName: link.text,
    mode: placeNumber(entry.mode, 8, entry.numberStyle === "pax" ? "octal" : entry.numberStyle, "mode", records),
    uid: placeNumber(entry.uid, 8, entry.numberStyle, "uid", records),
    gid: placeNumber(entry.gid, 8, entry.numberStyle, "gid", records),
    size: placeNumber(size, 12, entry.numberStyle, "size", records),
    mtime: placeTime(entry, records),
    major: octal(entry.device[0], 8),
    minor: octal(entry.device[1], 8),
    raw: oldSparseFields(entry),
  });
  for (const [key, value] of entry.xattrs) records.push([`SCHILY.xattr.${key}`, value]);
  records.push(...entry.records);
  const pax = records.length > 0 ? [paxHeader(records)] : [];
  return Buffer.concat([...before, ...pax, header, hasData(entry.type) ? padded(body) : Buffer.alloc(0)]);
}

function placeText(
  text: string,
  style: TextStyle,
  keyword: string,
  before: Buffer[],
  records: PaxRecord[],
): { text: string; prefix: string } {
  const slash = text.lastIndexOf("/", 154);
  if (style === "prefix" && keyword === "path" && slash > 0 && text.length - slash <= 100) {
    return { text: text.slice(slash + 1), prefix: text.slice(0, slash) };
  }
  const gnu = style === "gnu" || style === "gnu-and-pax";
  if (gnu) before.push(longHeader(keyword === "path" ? "L" : "K", text));
  if (style === "gnu-and-pax") records.push([keyword, `${text}-by-pax`]);
  else if (!gnu && (style === "pax" || text.length > 100)) records.push([keyword, text]);
  return { text, prefix: "" };
}

function placeNumber(value: number, length: number, style: NumberStyle, keyword: string, records: PaxRecord[]): Field {
  if (style === "pax") {
    records.push([keyword, String(value)]);
    return octal(0, length);
  }
  const digits = value.toString(8);
  if (style === "binary" || value < 0 || digits.length > length) return base256(value, length);
  if (style === "full" || digits.length === length) return digits.padStart(length, "0");
  return style === "spaced" ? `${digits.padStart(length - 1, " ")} ` : octal(value, length);
}

function placeTime({ seconds, nanoseconds, timeStyle }: GeneratedEntry, records: PaxRecord[]): Field {
  if (nanoseconds === 0 && timeStyle !== "pax") return placeNumber(seconds, 12, timeStyle, "mtime", records);
  // Counted forward from whole seconds, but written as a signed decimal.
  const negative = seconds < 0 && nanoseconds > 0;
  const whole = negative ? -seconds - 1 : Math.abs(seconds);
  const fraction = negative ? 1e9 - nanoseconds : nanoseconds;
  const decimals = fraction === 0 ? "" : `.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
  records.push(["mtime", `${seconds < 0 ? "-" : ""}${whole}${decimals}`]);
  return octal(0, 12);
}

function encodeBody({ content, sparse, name }: GeneratedEntry, records: PaxRecord[]): Buffer {
  if (sparse === undefined) return Buffer.from(content);
  const { style, spans, size } = sparse;
  if (style === "old") return Buffer.concat([oldExtensions(spans), content]);
  if (style === "1.0") {
    const map = Buffer.from(`${[spans.length, ...spans.flat()].join("\n")}\n`, "latin1");
    records.push(["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"]);
    records.push(["GNU.sparse.name", name], ["GNU.sparse.realsize", String(size)]);
    return Buffer.concat([padded(map), content]);
  }
  records.push(["GNU.sparse.size", String(size)], ["GNU.sparse.numblocks", String(spans.length)]);
  if (style === "0.1") records.push(["GNU.sparse.name", name], ["GNU.sparse.map", spans.flat().join(",")]);
  else {
    for (const [offset, length] of spans) {
      records.push(["GNU.sparse.offset", String(offset)], ["GNU.sparse.numbytes", String(length)]);
    }
  }
  return Buffer.from(content);
}

function oldSparseFields({ sparse, format }: GeneratedEntry): [number, Field][] {
  if (sparse?.style !== "old" || format !== "gnu") return [];
  const raw = sparse.spans
    .slice(0, HEADER_SPANS)
    .map((span, index): [number, Field] => [HEADER_SPANS_AT + index * 24, spanText(span)]);
  if (sparse.spans.length > HEADER_SPANS) raw.push([MORE_AT, "\x01"]);
  return [...raw, [REAL_SIZE_AT, octal(sparse.size, 12)]];
}

function oldExtensions(spans: readonly Span[]): Buffer {
  const blocks: Buffer[] = [];
  for (let at = HEADER_SPANS; at < spans.length; at += EXTENSION_SPANS) {
    const block = Buffer.alloc(BLOCK_BYTES);
    block.write(
      spans
        .slice(at, at + EXTENSION_SPANS)
        .map(spanText)
        .join(""),
      "latin1",
    );
    if (at + EXTENSION_SPANS < spans.length) block[504] = 1;
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

function oldMapBytes(spans: readonly Span[]): number {
  return BLOCK_BYTES * Math.ceil(Math.max(0, spans.length - HEADER_SPANS) / EXTENSION_SPANS);
}

function spanText([offset, length]: Span): string {
  return octal(offset, 12) + octal(length, 12);
}
