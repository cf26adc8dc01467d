/** The fields of a header block. A number is written as octal, a string or bytes as they stand. */
export interface HeaderFields {
  name?: string;
  mode?: Field;
  uid?: Field;
  gid?: Field;
  size?: Field;
  mtime?: Field;
  type?: string;
  link?: string;
  magic?: string;
  major?: Field;
  minor?: Field;
  prefix?: string;
  /** What stands in the checksum field, instead of the right sum. */
  checksum?: string;
  /** Bytes put over the rest before the sum is made, by offset. */
  over?: Readonly<Record<number, string | Uint8Array>>;
  /** Sums the bytes as signed ones, as old Sun tars did. */
  signedSum?: boolean;
}

type Field = number | string | Uint8Array;

const BLOCK = 512;
const USTAR_MAGIC = "ustar\x0000";
export const GNU_MAGIC = "ustar  \0";
export const V7_MAGIC = "";

/** Where an archive ends: two blocks of zeros. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);

/** One header block (POSIX `pax`, "ustar Interchange Format"); names are byte strings. */
export function header(name: string, fields: HeaderFields = {}): Buffer {
  const block = Buffer.alloc(BLOCK);
  place(block, 0, name);
  place(block, 100, octal(fields.mode ?? 0o644, 7));
  place(block, 108, octal(fields.uid ?? 0, 7));
  place(block, 116, octal(fields.gid ?? 0, 7));
  place(block, 124, octal(fields.size ?? 0, 11));
  place(block, 136, octal(fields.mtime ?? 0, 11));
  place(block, 156, fields.type ?? "0");
  place(block, 157, fields.link ?? "");
  place(block, 257, fields.magic ?? USTAR_MAGIC);
  place(block, 329, octal(fields.major ?? 0, 7));
  place(block, 337, octal(fields.minor ?? 0, 7));
  place(block, 345, fields.prefix ?? "");
  for (const [at, bytes] of Object.entries(fields.over ?? {})) place(block, Number(at), bytes);
  block.fill(" ", 148, 156);
  const signed = fields.signedSum === true;
  const sum = block.reduce((total, byte) => total + (signed && byte >= 0x80 ? byte - 0x100 : byte), 0);
  place(block, 148, fields.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A body with the zeros that fill its last block. */
export function body(content: string | Uint8Array): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : Buffer.from(content);
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

export function file(name: string, content: string | Uint8Array = "", fields: HeaderFields = {}): Buffer {
  return Buffer.concat([header(name, { size: content.length, ...fields }), body(content)]);
}

export function directory(name: string, fields: HeaderFields = {}): Buffer {
  return header(name, { type: "5", mode: 0o755, ...fields });
}

export function symlink(name: string, link: string, fields: HeaderFields = {}): Buffer {
  return header(name, { type: "2", mode: 0o777, link, ...fields });
}

export function hardLink(name: string, link: string, fields: HeaderFields = {}): Buffer {
  return header(name, { type: "1", link, ...fields });
}

/** GNU's long name (`L`) or long link target (`K`) for the entry that follows. */
export function gnuLong(type: "L" | "K", text: string, fields: HeaderFields = {}): Buffer {
  return file("././@LongLink", `${text}\0`, { type, magic: GNU_MAGIC, ...fields });
}

/** Blocks with an end marker after them. */
export function tar(...blocks: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...blocks, END]);
}

/** A number behind a set first bit, as GNU writes what octal cannot hold ("base-256"). */
export function base256(value: bigint, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  for (let at = length - 1, rest = value; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

function octal(value: Field, digits: number): string | Uint8Array {
  return typeof value === "number" ? value.toString(8).padStart(digits, "0") : value;
}

function place(block: Buffer, at: number, bytes: string | Uint8Array): void {
  if (typeof bytes === "string") block.write(bytes, at, "latin1");
  else block.set(bytes, at);
}
