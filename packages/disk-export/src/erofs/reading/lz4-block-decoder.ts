const MATCH_BYTES_MIN = 4;
const LENGTH_NIBBLE_MAX = 15;

/**
 * Decodes an LZ4 block into `target`, and stops when that is full: what comes after in the block is not looked at.
 * @returns how many bytes were decoded; -1 where the block breaks its format. No byte outside `source` and `target` is touched.
 */
export function decodeLz4Block(source: Uint8Array, target: Uint8Array): number {
  let at = 0;
  let out = 0;

  /** Adds the bytes that follow a nibble of 15; past the end of the source, as if it were a zero. */
  function lengthFrom(nibble: number): number {
    let length = nibble;
    for (let more = nibble === LENGTH_NIBBLE_MAX; more;) {
      const byte = source[at++] ?? 0;
      length += byte;
      more = byte === 255;
    }
    return length;
  }

  while (at < source.length) {
    const token = source[at++]!;
    const literals = lengthFrom(token >>> 4);
    const literalCount = Math.min(literals, target.length - out);
    if (at + literalCount > source.length) return -1;
    target.set(source.subarray(at, at + literalCount), out);
    at += literals;
    out += literalCount;
    if (out === target.length || at === source.length) return out;

    if (at + 2 > source.length) return -1;
    const distance = source[at]! | (source[at + 1]! << 8);
    at += 2;
    if (distance === 0 || distance > out) return -1;
    const matchEnd = Math.min(out + lengthFrom(token & LENGTH_NIBBLE_MAX) + MATCH_BYTES_MIN, target.length);
    if (distance >= matchEnd - out) {
      target.copyWithin(out, out - distance, matchEnd - distance);
      out = matchEnd;
    } else {
      for (; out < matchEnd; out++) target[out] = target[out - distance]!;
    }
    if (out === target.length) return out;
  }
  return -1;
}
