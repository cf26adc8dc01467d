import type { Extent } from "../file-tree.js";
import type { LayerLimits } from "../limits.js";
import { paxInteger, paxValue } from "./pax-header.js";
import { type PaxRecords, SPARSE_MAP } from "./pax-records.js";
import {
  BLOCK_BYTES,
  GNU_EXTENSION_MORE_AT,
  GNU_EXTENSION_SPANS,
  GNU_MORE_AT,
  GNU_NUMBER_BYTES,
  GNU_SPAN_BYTES,
  GNU_SPANS,
  GNU_SPANS_AT,
} from "./layout.js";
import { parseDecimal, parseNumeric } from "./number.js";
import type { Refuse } from "./refusal.js";

/** Offset and length in turns, as the archive lists the ranges that hold data; not yet checked. */
export type Spans = number[];

/** Where the sparse map of a PAX header is: in its own records, or in the first blocks of the data (format 1.0). */
export type SparseFormat = "records" | "data";

const COMMA = 0x2c;
const NEWLINE = 0x0a;

/** GNU tar manual, "Storing Sparse Files". A version that is not known makes a plain file, as Go's reader has it. */
export function paxSparseFormat(records: PaxRecords): SparseFormat | undefined {
  const major = versionPart(records, "GNU.sparse.major");
  const minor = versionPart(records, "GNU.sparse.minor");
  if (major === "0" && (minor === "0" || minor === "1")) return "records";
  if (major === "1" && minor === "0") return "data";
  if (major !== "" || minor !== "") return undefined;
  return paxValue(records, SPARSE_MAP) === undefined ? undefined : "records";
}

function versionPart(records: PaxRecords, key: string): string {
  return String.fromCharCode(...(records.get(key)?.subarray(0, 2) ?? []));
}

/** The map of formats 0.0 and 0.1: numbers between commas, and how many pairs there are. */
export function readRecordSpans(records: PaxRecords, limits: LayerLimits, refuse: Refuse): Spans {
  const count = paxInteger(records.get("GNU.sparse.numblocks") ?? new Uint8Array(), "GNU.sparse.numblocks", refuse);
  const map = records.get(SPARSE_MAP) ?? new Uint8Array();
  checkCount(count, limits, refuse);
  const spans: Spans = [];
  for (let start = map.length === 0 ? 1 : 0, end = 0; start <= map.length; start = end + 1) {
    const comma = map.indexOf(COMMA, start);
    end = comma < 0 ? map.length : comma;
    spans.push(spanNumber(parseDecimal(map, start, end), refuse));
  }
  if (spans.length !== 2 * count) refuse("tar_invalid", `the sparse map does not have the ${count} ranges it promises`);
  return spans;
}

/** Reads the map of format 1.0, a block at a time: newline-ended numbers, the first says how many pairs follow. */
export interface SpanReader {
  readonly spans: Spans;
  /** True as soon as the map is complete; the data begins with the next block. */
  push(block: Uint8Array, at: number): boolean;
}

export function createSpanReader(limits: LayerLimits, refuse: Refuse): SpanReader {
  const spans: Spans = [];
  let wanted = -1;
  let token: number[] = [];

  function endToken(): void {
    const value = spanNumber(parseDecimal(Uint8Array.from(token), 0, token.length), refuse);
    token = [];
    if (wanted >= 0) {
      spans.push(value);
      return;
    }
    checkCount(value, limits, refuse);
    wanted = 2 * value;
  }

  function push(block: Uint8Array, at: number): boolean {
    for (let index = at; index < at + BLOCK_BYTES && spans.length !== wanted; index++) {
      const byte = block[index] ?? 0;
      if (byte === NEWLINE) endToken();
      else token.push(byte);
    }
    return spans.length === wanted;
  }

  return { spans, push };
}

/** Adds the spans of a GNU header block. True if an extension block follows. */
export function readHeaderSpans(block: Uint8Array, at: number, spans: Spans, refuse: Refuse): boolean {
  readGnuSpans(block, at + GNU_SPANS_AT, GNU_SPANS, spans, refuse);
  return block[at + GNU_MORE_AT] !== 0;
}

/** The same for an extension block. */
export function readExtensionSpans(block: Uint8Array, at: number, spans: Spans, refuse: Refuse): boolean {
  readGnuSpans(block, at, GNU_EXTENSION_SPANS, spans, refuse);
  return block[at + GNU_EXTENSION_MORE_AT] !== 0;
}

function readGnuSpans(block: Uint8Array, start: number, count: number, spans: Spans, refuse: Refuse): void {
  for (let index = 0; index < count; index++) {
    const at = start + index * GNU_SPAN_BYTES;
    if (block[at] === 0) return;
    spans.push(
      spanNumber(parseNumeric(block, at, { at: 0, length: GNU_NUMBER_BYTES }), refuse),
      spanNumber(parseNumeric(block, at, { at: GNU_NUMBER_BYTES, length: GNU_NUMBER_BYTES }), refuse),
    );
  }
}

function spanNumber(value: number, refuse: Refuse): number {
  if (Number.isNaN(value) || value < 0) refuse("tar_invalid", "a number of the sparse map is not one");
  // Adding 0 makes -0 a plain 0.
  return value + 0;
}

function checkCount(count: number, limits: LayerLimits, refuse: Refuse): void {
  if (count < 0) refuse("tar_invalid", "the sparse map has a negative count");
  if (count > limits.extents) refuse("layer_limit", `the file has over ${limits.extents} extents`);
}

/** What a checked sparse map says. */
export interface SparseLayout {
  /** Absent where there are no holes. */
  readonly extents?: readonly Extent[];
  readonly dataBytes: number;
}

/** Checks that the spans are ascending, disjoint and inside the file; drops empty ones and joins those that touch. */
export function layOutSpans(spans: Spans, size: number, limits: LayerLimits, refuse: Refuse): SparseLayout {
  if (spans.length > 2 * limits.extents) refuse("layer_limit", `the file has over ${limits.extents} extents`);
  const extents: { offset: number; length: number }[] = [];
  let dataBytes = 0;
  let previousEnd = 0;
  for (let index = 0; index < spans.length; index += 2) {
    const offset = spans[index] ?? 0;
    const length = spans[index + 1] ?? 0;
    if (offset < previousEnd) refuse("tar_invalid", "the sparse map's ranges overlap or are out of order");
    if (offset + length > size) refuse("tar_invalid", "the sparse map goes beyond the file's size");
    const last = extents.at(-1);
    if (last !== undefined && offset === last.offset + last.length) last.length += length;
    else if (length > 0) extents.push({ offset, length });
    dataBytes += length;
    previousEnd = offset + length;
  }
  return dataBytes === size ? { dataBytes } : { extents, dataBytes };
}
