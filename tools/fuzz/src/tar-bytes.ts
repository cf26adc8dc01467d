/** Numbers, fields and blocks of a tar, written as any writer ever did; nothing is checked. */
export const BLOCK_BYTES = 512;

export type TarFormat = "v7" | "ustar" | "star" | "gnu";

const MAGIC: Readonly<Record<TarFormat, string>> = {
  v7: "",
  ustar: "ustar\x0000",
  star: "ustar\x0000",
  gnu: "ustar  \0",
};
const CHECKSUM_AT = 148;
const TYPE_AT = 156;

/** Text or bytes for each field of a header, as they shall stand there. */
export interface HeaderFields {
  readonly format: TarFormat;
  readonly type: string;
  readonly name: string;
  readonly linkName?: string;
  readonly mode?: Field;
  readonly uid?: Field;
  readonly gid?: Field;
  readonly size?: Field;
  readonly mtime?: Field;
  readonly major?: Field;
  readonly minor?: Field;
  readonly prefix?: string;
  /** What stands elsewhere, by its offset. */
  readonly raw?: readonly (readonly [at: number, bytes: Field])[];
}

export type Field = string | Uint8Array;

/** A header block with its checksum. Names are byte strings, and cut off where they do not fit. */
export function headerBlock(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const put = (at: number, length: number, value: Field): void => {
    block.set(
      typeof value === "string" ? Buffer.from(value.slice(0, length), "latin1") : value.subarray(0, length),
      at,
    );
  };
  put(0, 100, fields.name);
  put(100, 8, fields.mode ?? octal(0o644, 8));
  put(108, 8, fields.uid ?? octal(0, 8));
  put(116, 8, fields.gid ?? octal(0, 8));
  put(124, 12, fields.size ?? octal(0, 12));
  put(136, 12, fields.mtime ?? octal(0, 12));
  put(TYPE_AT, 1, fields.type);
  put(157, 100, fields.linkName ?? "");
  put(257, 8, MAGIC[fields.format]);
  if (fields.format !== "v7") {
    put(329, 8, fields.major ?? octal(0, 8));
    put(337, 8, fields.minor ?? octal(0, 8));
    put(345, 155, fields.prefix ?? "");
  }
  if (fields.format === "star") {
    put(476, 12, octal(0, 12));
    put(488, 12, octal(0, 12));
    put(508, 4, "tar\0");
  }
  for (const [at, bytes] of fields.raw ?? []) put(at, BLOCK_BYTES - at, bytes);
  fixChecksum(block, 0);
  return block;
}

/** Writes the right checksum into the header block at `at`. */
export function fixChecksum(bytes: Uint8Array, at: number): void {
  bytes.fill(0x20, at + CHECKSUM_AT, at + TYPE_AT);
  let sum = 0;
  for (let index = at; index < at + BLOCK_BYTES; index++) sum += bytes[index] ?? 0;
  bytes.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `, "latin1"), at + CHECKSUM_AT);
}

/** Octal digits and a NUL, as most writers have it. */
export function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, "0")}\0`;
}

/** Two's complement behind a set first bit, for what octal cannot hold. */
export function base256(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = BigInt(value);
  for (let index = length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

export function padded(body: Uint8Array): Buffer {
  const padding = (BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES;
  return Buffer.concat([body, Buffer.alloc(padding)]);
}

/** Keywords and values of a PAX header, byte strings both. */
export type PaxRecord = readonly [keyword: string, value: string];

/** A PAX header with its body: `x` for the next entry, `g` for all. */
export function paxHeader(records: readonly PaxRecord[], type: "x" | "g" = "x"): Buffer {
  const body = Buffer.from(records.map(paxRecord).join(""), "latin1");
  const header = headerBlock({ format: "ustar", type, name: "PaxHeaders/x", size: octal(body.length, 12) });
  return Buffer.concat([header, padded(body)]);
}

function paxRecord([keyword, value]: PaxRecord): string {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length++;
  return `${length}${rest}`;
}

/** GNU's header for a long name (`L`) or link target (`K`). */
export function longHeader(type: "L" | "K", text: string): Buffer {
  const body = Buffer.from(`${text}\0`, "latin1");
  const header = headerBlock({ format: "gnu", type, name: "././@LongLink", size: octal(body.length, 12) });
  return Buffer.concat([header, padded(body)]);
}
