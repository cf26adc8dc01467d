/** Makes tar bytes by hand, right or wrong, for what no tar writer would write. */
export interface HeaderFields {
  name?: string | undefined;
  /** A number is written as octal, a string as it stands, bytes likewise. */
  mode?: number | string | Uint8Array;
  uid?: number | string | Uint8Array;
  gid?: number | string | Uint8Array;
  size?: number | string | Uint8Array;
  mtime?: number | string | Uint8Array;
  type?: string;
  linkName?: string;
  magic?: string;
  major?: number | string | Uint8Array;
  minor?: number | string | Uint8Array;
  prefix?: string;
  checksum?: string;
  /** Bytes set before the checksum is made, by offset. */
  raw?: readonly (readonly [at: number, bytes: string | Uint8Array])[];
}

export const USTAR = "ustar\x0000";
export const GNU = "ustar  \0";

/** A header block; ustar by default, with its checksum right unless one is given. */
export function header(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(512);
  put(block, 0, fields.name ?? "file");
  put(block, 100, number(fields.mode ?? 0o644, 7));
  put(block, 108, number(fields.uid ?? 0, 7));
  put(block, 116, number(fields.gid ?? 0, 7));
  put(block, 124, number(fields.size ?? 0, 11));
  put(block, 136, number(fields.mtime ?? 0, 11));
  put(block, 156, fields.type ?? "0");
  put(block, 157, fields.linkName ?? "");
  put(block, 257, fields.magic ?? USTAR);
  put(block, 329, number(fields.major ?? 0, 7));
  put(block, 337, number(fields.minor ?? 0, 7));
  put(block, 345, fields.prefix ?? "");
  for (const [at, bytes] of fields.raw ?? []) put(block, at, bytes);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(block, 148, fields.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A body, padded to a block. */
export function padded(body: string | Uint8Array): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : Buffer.from(body);
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

export function file(name: string, body: string | Uint8Array = "", fields: HeaderFields = {}): Buffer {
  return Buffer.concat([header({ name, size: body.length, ...fields }), padded(body)]);
}

/** One PAX record with its right length. */
export function record(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  for (let length = rest.length + 1; ; length++) {
    if (`${length}${rest}`.length === length) return `${length}${rest}`;
  }
}

export function pax(records: Readonly<Record<string, string>> | string, type = "x"): Buffer {
  const body =
    typeof records === "string"
      ? records
      : Object.entries(records)
          .map(([k, v]) => record(k, v))
          .join("");
  return file("PaxHeader", body, { type });
}

/** GNU's long name (`L`) or long link (`K`). */
export function long(type: "L" | "K", text: string): Buffer {
  return file("././@LongLink", `${text}\0`, { type, magic: GNU });
}

export const END: Buffer = Buffer.alloc(1024);

export function archive(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...parts, END]);
}

/** A number in two's complement behind a set first bit, as GNU writes what octal cannot hold. */
export function base256(value: bigint, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  let rest = value;
  for (let index = length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

function put(block: Buffer, at: number, text: string | Uint8Array): void {
  if (typeof text === "string") block.write(text, at, "latin1");
  else block.set(text, at);
}

function number(value: number | string | Uint8Array, digits: number): string | Uint8Array {
  return typeof value === "number" ? value.toString(8).padStart(digits, "0") : value;
}
