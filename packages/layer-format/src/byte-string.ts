const CHUNK = 8192;
const NOT_ASCII = /[^\0-\x7f]/;
const encoder = new TextEncoder();

/**
 * Node's own way, where there is one: without it, two fifths of the time of reading a tar go into names, measured.
 * TextDecoder is none: what it calls latin1 is windows-1252, which is not lossless.
 */
const { latin1Slice } =
  (globalThis as { Buffer?: { prototype: { latin1Slice?: (this: Uint8Array, start: number, end: number) => string } } })
    .Buffer?.prototype ?? {};

/** The byte string (see `Entry`) of a text's UTF-8 form. */
export function byteString(text: string): string {
  // Nearly every name is ASCII, and that is its own UTF-8 form.
  if (!NOT_ASCII.test(text)) return text;
  return bytesToByteString(encoder.encode(text));
}

/** Bytes as a byte string: one character a byte, U+0000 to U+00FF. */
export function bytesToByteString(bytes: Uint8Array): string {
  return sliceByteString(bytes, 0, bytes.length);
}

/** As {@link bytesToByteString}, of the bytes from `start` to `end`, which are inside. */
export function sliceByteString(bytes: Uint8Array, start: number, end: number): string {
  if (latin1Slice !== undefined) return latin1Slice.call(bytes, start, end);
  let text = "";
  for (let at = start; at < end; at += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(at + CHUNK, end)));
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
