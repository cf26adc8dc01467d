import { byteString } from "@lamella/layer-format";

import { DaemonError } from "../errors.js";

const NOT_PLAIN = /[%\x80-\xff]/;
/** Characters of UTF-8, or else a byte that cannot stay (Unicode 15, table 3-7). */
const CHARACTERS_OR_BYTE =
  /(?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})+|[%\x80-\xff]/g;

/** A path of an image as text: bytes that are no UTF-8 are `%XX`, and `%` is `%25`. */
export function encodeImagePath(path: string): string {
  if (!NOT_PLAIN.test(path)) return path;
  return path.replaceAll(CHARACTERS_OR_BYTE, (found) =>
    found.length === 1 ? `%${hex(found.charCodeAt(0))}` : Buffer.from(found, "latin1").toString("utf8"),
  );
}

/** The byte string that {@link encodeImagePath} has made the text of. @throws {DaemonError} `invalid_request` for a `%` that is not `%XX` */
export function decodeImagePath(text: string): string {
  return text
    .split(/(%[0-9a-f]{2})/i)
    .map((part, index) => {
      if (index % 2 === 1) return String.fromCharCode(Number.parseInt(part.slice(1), 16));
      if (part.includes("%")) throw new DaemonError("invalid_request", "cannot take the path: its % is not %XX");
      return byteString(part);
    })
    .join("");
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}
