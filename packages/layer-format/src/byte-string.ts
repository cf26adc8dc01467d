const CHUNK = 8192;
const encoder = new TextEncoder();

/** The byte string (see `Entry`) of a text's UTF-8 form. */
export function byteString(text: string): string {
  return bytesToByteString(encoder.encode(text));
}

/** Bytes as a byte string: one character a byte, U+0000 to U+00FF. */
export function bytesToByteString(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return text;
}

/**
 * The bytes of a byte string.
 * @throws {RangeError} if a character is above U+00FF: the text was never encoded (see {@link byteString}).
 */
export function byteStringToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff) throw new RangeError(`cannot take text as bytes: character ${index} is above U+00FF`);
    bytes[index] = code;
  }
  return bytes;
}
