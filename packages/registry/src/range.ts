import { RegistryError } from "./errors.js";

/** Part of a blob in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Of one request. Whoever asks for more gets the whole, as RFC 9110 (section 14.2) advises against clients that mean harm. */
const MAX_RANGES = 32;

/**
 * What a `Range` header asks of a blob (RFC 9110, section 14.2), in ascending order. `undefined` means the whole: no header, another unit, bad syntax, too many
 * ranges, or some that overlap or go backwards, all of which a server is free to ignore. Throws `range_invalid` if all of them are outside of the
 * blob or end before they begin.
 */
export function parseRanges(header: string | null | undefined, size: number): ByteRange[] | undefined {
  const list = /^bytes=(.+)$/i.exec(header?.trim() ?? "")?.[1]?.split(",");
  if (list === undefined || list.length > MAX_RANGES) return undefined;
  const ranges: ByteRange[] = [];
  let end = 0;
  for (const text of list) {
    const range = parseRange(text.trim(), size);
    if (range === undefined || range.offset < end) return undefined;
    if (range.length <= 0) continue;
    ranges.push(range);
    end = range.offset + range.length;
  }
  if (ranges.length > 0) return ranges;
  const shown = list.join(",").slice(0, 60);
  throw new RegistryError("range_invalid", `cannot read the range bytes=${shown}: the blob has ${size} bytes`);
}

/** Undefined for bad syntax; of no length, or less, where nothing is inside of the blob. */
function parseRange(text: string, size: number): ByteRange | undefined {
  const match = /^(\d*)-(\d*)$/.exec(text);
  if (match === null || text === "-") return undefined;
  const [, first = "", last = ""] = match;
  const offset = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  return { offset, length: end - offset };
}

/** As an answer has it (RFC 9110, section 14.4). */
export function contentRangeOf({ offset, length }: ByteRange, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`;
}

/**
 * The `Content-Range` of an upload's chunk: `<start>-<end>`, inclusive (OCI distribution-spec 1.1, "Pushing a blob in chunks").
 * Throws `range_invalid`.
 */
export function parseContentRange(header: string): ByteRange {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(header);
  const offset = Number(match?.[1]);
  const length = Number(match?.[2]) - offset + 1;
  if (length >= 1) return { offset, length };
  throw new RegistryError(
    "range_invalid",
    `cannot take the chunk ${JSON.stringify(header.slice(0, 60))}: not <start>-<end>`,
  );
}
