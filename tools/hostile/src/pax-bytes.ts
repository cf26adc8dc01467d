import { file, type HeaderFields } from "./tar-bytes.js";

/** One record with the length that it has: `length keyword=value\n`. */
export function paxRecord(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  let digits = 1;
  while (`${rest.length + digits}`.length !== digits) digits++;
  return `${rest.length + digits}${rest}`;
}

/** An extended header; a string is its body as it stands, right or wrong. */
export function pax(records: Readonly<Record<string, string>> | string, fields: HeaderFields = {}): Buffer {
  return file("PaxHeaders/0", typeof records === "string" ? records : paxBody(records), { type: "x", ...fields });
}

/** A global extended header. */
export function paxGlobal(records: Readonly<Record<string, string>> | string): Buffer {
  return pax(records, { type: "g" });
}

function paxBody(records: Readonly<Record<string, string>>): string {
  return Object.entries(records)
    .map(([keyword, value]) => paxRecord(keyword, value))
    .join("");
}
