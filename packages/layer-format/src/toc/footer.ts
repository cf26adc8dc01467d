import { bytesToByteString, byteStringToBytes } from "../byte-string.js";
import {
  CHUNKED_FOOTER_BYTES,
  CHUNKED_MAGICS,
  CHUNKED_TYPE,
  EXTERNAL_FOOTER_BYTES,
  EXTERNAL_MAGIC,
  FOOTER_BYTES,
  LEGACY_FOOTER_BYTES,
  OFFSET_DIGITS,
  SKIPPABLE_HEADER_BYTES,
  SKIPPABLE_MAGIC,
  STARGZ_MAGIC,
} from "./layout.js";
import type { TocFormat } from "./toc.js";

/** Where a table of contents is, as a footer or an annotation says. */
export interface TocLocation {
  readonly format: TocFormat;
  /** In the blob, packed; undefined where the table is elsewhere. */
  readonly toc: { readonly offset: number; readonly length: number } | undefined;
  /** Where the members or frames with data end. */
  readonly dataEnd: number;
  /** Bytes of the JSON, where that is told. */
  readonly rawLength?: number | undefined;
}

const GZIP_HEAD = "\x1f\x8b\x08\x04\0\0\0\0\0\xff";
const GZIP_TAIL = "\x01\0\0\xff\xff\0\0\0\0\0\0\0\0";
const POSITION = /^(\d{1,15}):(\d{1,15}):(\d{1,15}):1$/;

/**
 * Finds the table of contents by the end of a blob. Undefined if there is no footer, or it points outside: then the blob is to be read
 * as any other layer.
 *
 * @param tail the blob's last bytes, as many as the longest footer needs or all of a shorter blob.
 */
export function readFooter(tail: Uint8Array, blobBytes: number): TocLocation | undefined {
  const location = readChunkedFooter(tail, blobBytes) ?? readGzipFooter(tail, blobBytes);
  return location !== undefined && isInside(location) ? location : undefined;
}

/** The same by the annotation of a zstd:chunked layer: `offset:length:length unpacked:type`. */
export function readPosition(annotation: string, blobBytes: number): TocLocation | undefined {
  const [, offset, length, rawLength] = POSITION.exec(annotation) ?? [];
  if (offset === undefined) return undefined;
  const location = chunkedLocation(Number(offset), Number(length), Number(rawLength));
  return isInside(location) && location.dataEnd + SKIPPABLE_HEADER_BYTES + Number(length) <= blobBytes
    ? location
    : undefined;
}

/** The footer of an eStargz blob whose table is a member at `tocOffset`, or elsewhere. */
export function encodeFooter(tocOffset: number | undefined): Uint8Array {
  const digits = (tocOffset ?? 0).toString(16).padStart(OFFSET_DIGITS, "0");
  const field = tocOffset === undefined ? EXTERNAL_MAGIC : `${digits}${STARGZ_MAGIC}`;
  const extra = `SG${littleEndian16(field.length)}${field}`;
  return byteStringToBytes(`${GZIP_HEAD}${littleEndian16(extra.length)}${extra}${GZIP_TAIL}`);
}

function readGzipFooter(tail: Uint8Array, blobBytes: number): TocLocation | undefined {
  const external = extraField(tail, EXTERNAL_FOOTER_BYTES);
  if (external === `SG${littleEndian16(EXTERNAL_MAGIC.length)}${EXTERNAL_MAGIC}`) {
    return { format: "estargz", toc: undefined, dataEnd: blobBytes - EXTERNAL_FOOTER_BYTES };
  }
  const field = extraField(tail, FOOTER_BYTES);
  const prefix = `SG${littleEndian16(OFFSET_DIGITS + STARGZ_MAGIC.length)}`;
  if (field?.startsWith(prefix)) return offsetLocation(field.slice(prefix.length), blobBytes - FOOTER_BYTES);
  const legacy = extraField(tail, LEGACY_FOOTER_BYTES);
  return legacy === undefined ? undefined : offsetLocation(legacy, blobBytes - LEGACY_FOOTER_BYTES);
}

/** The extra field of the empty member that the last `footerBytes` are; undefined if they are none. */
function extraField(tail: Uint8Array, footerBytes: number): string | undefined {
  if (tail.length < footerBytes) return undefined;
  const footer = bytesToByteString(tail.subarray(tail.length - footerBytes));
  const start = GZIP_HEAD.length + 2;
  const end = footerBytes - GZIP_TAIL.length;
  const isFooter =
    footer.startsWith(GZIP_HEAD) &&
    footer.endsWith(GZIP_TAIL) &&
    footer.slice(GZIP_HEAD.length, start) === littleEndian16(end - start);
  return isFooter ? footer.slice(start, end) : undefined;
}

function offsetLocation(field: string, tocEnd: number): TocLocation | undefined {
  const digits = field.slice(0, OFFSET_DIGITS);
  if (field.slice(OFFSET_DIGITS) !== STARGZ_MAGIC || !/^[0-9a-fA-F]+$/.test(digits)) return undefined;
  const offset = Number.parseInt(digits, 16);
  return { format: "estargz", toc: { offset, length: tocEnd - offset }, dataEnd: offset };
}

function readChunkedFooter(tail: Uint8Array, blobBytes: number): TocLocation | undefined {
  if (!CHUNKED_MAGICS.includes(bytesToByteString(tail.subarray(-8)))) return undefined;
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  for (const bytes of CHUNKED_FOOTER_BYTES) {
    const at = tail.length - bytes;
    const frame = at - SKIPPABLE_HEADER_BYTES;
    if (frame < 0) return undefined;
    if (view.getUint32(frame, true) !== SKIPPABLE_MAGIC || view.getUint32(frame + 4, true) !== bytes) continue;
    if (view.getBigUint64(at + 24, true) !== BigInt(CHUNKED_TYPE)) return undefined;
    const number = (index: number): number => Number(view.getBigUint64(at + 8 * index, true));
    const location = chunkedLocation(number(0), number(1), number(2));
    const end = blobBytes - bytes - SKIPPABLE_HEADER_BYTES;
    return number(0) + number(1) <= end ? location : undefined;
  }
  return undefined;
}

function chunkedLocation(offset: number, length: number, rawLength: number): TocLocation {
  return { format: "zstd:chunked", toc: { offset, length }, dataEnd: offset - SKIPPABLE_HEADER_BYTES, rawLength };
}

function isInside({ toc, dataEnd }: TocLocation): boolean {
  return dataEnd >= 0 && (toc === undefined || (Number.isSafeInteger(toc.offset) && toc.length > 0));
}

function littleEndian16(value: number): string {
  return String.fromCharCode(value & 0xff, value >> 8);
}
