import { RegistryError } from "./errors.js";

/** Part of a blob in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * What a `Range` header asks of a blob (RFC 9110, section 14.2). `undefined` means the whole: no header, another unit, several
 * ranges or bad syntax, all of which a server is free to ignore. Throws `range_invalid` for a range that is outside of the blob or
 * ends before it begins.
 */
export function parseRange(header: string | null | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  const offset = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  if (offset >= end) {
    throw new RegistryError(
      "range_invalid",
      `cannot read the range ${match[0].slice(0, 60)}: the blob has ${size} bytes`,
    );
  }
  return { offset, length: end - offset };
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
