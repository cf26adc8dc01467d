/**
 * Decodes an LZ4 block by the format's description, and throws where it breaks a rule that a decoder may rely on: distances from 1 to
 * 65535 into what is there, the last five bytes as literals, no match that starts in the last twelve.
 */
export function decodeLz4(block: Uint8Array): Uint8Array {
  const output: number[] = [];
  let at = 0;
  let lastMatchStart = -Infinity;

  function byte(): number {
    const value = block[at++];
    if (value === undefined) throw new Error("the block ends too soon");
    return value;
  }

  function lengthFrom(nibble: number): number {
    let length = nibble;
    for (let more = nibble === 15; more;) {
      const value = byte();
      length += value;
      more = value === 255;
    }
    return length;
  }

  for (;;) {
    const token = byte();
    const literals = lengthFrom(token >> 4);
    for (let index = 0; index < literals; index++) output.push(byte());
    if (at === block.length) {
      if (lastMatchStart > -Infinity && literals < 5) throw new Error(`${literals} literals at the end`);
      if (lastMatchStart > output.length - 12) throw new Error("a match starts in the last twelve bytes");
      return Uint8Array.from(output);
    }
    const distance = byte() | (byte() << 8);
    if (distance === 0 || distance > output.length) throw new Error(`a distance of ${distance} at ${output.length}`);
    lastMatchStart = output.length;
    const length = lengthFrom(token & 15) + 4;
    for (let index = 0; index < length; index++) output.push(output[output.length - distance]!);
  }
}
