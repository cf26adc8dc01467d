import { byteStringToBytes } from "./byte-string.js";

const PLAIN = /^[\x20-\x5b\x5d-\x7e]*$/;
/** Backslash, controls, format characters (bidi overrides, zero-width marks, tags), and line and paragraph separators. */
const UNSAFE = /[\\\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const NAMED: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * A byte string (a path, a link target, an xattr's name) as text that is safe and unambiguous to print.
 *
 * Valid UTF-8 is decoded. Bytes that are not are `\xff`; a backslash is `\\`; control characters are `\n`, `\r`, `\t`, `\x1b`;
 * characters that reorder or hide text are `\u{202e}`. Two different names never look the same through an escape.
 */
export function displayPath(path: string): string {
  if (PLAIN.test(path)) return path;
  const bytes = byteStringToBytes(path);
  let shown = "";
  let start = 0;
  while (start < bytes.length) {
    const length = sequenceLength(bytes, start);
    if (length === 0) {
      shown += hex(bytes[start] ?? 0);
      start++;
      continue;
    }
    let end = start + length;
    for (let next = length; next > 0 && end < bytes.length; end += next) next = sequenceLength(bytes, end);
    shown += decoder.decode(bytes.subarray(start, end)).replace(UNSAFE, escape);
    start = end;
  }
  return shown;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function escape(character: string): string {
  const named = NAMED[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x80 ? hex(code) : `\\u{${code.toString(16)}}`;
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** How many bytes the well-formed UTF-8 sequence at `start` has (Unicode 15, table 3-7); 0 if there is none. */
function sequenceLength(bytes: Uint8Array, start: number): number {
  const first = bytes[start] ?? 0;
  if (first < 0x80) return 1;
  const length =
    first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length === 0 || start + length > bytes.length) return 0;
  const second = bytes[start + 1] ?? 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let index = 2; index < length; index++) {
    if (((bytes[start + index] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
