/** zstd frames made by hand (RFC 8878, 3.1), since not every Node has an encoder. */
const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const SKIPPABLE_MAGIC = Buffer.from([0x53, 0x2a, 0x4d, 0x18]);
const SINGLE_SEGMENT = 0x20;
const FOUR_BYTE_SIZE = 0x80;
/** An exponent of 10: 1 MiB. */
const WINDOW = 10 << 3;
const BLOCK_TYPE = { raw: 0, rle: 1 } as const;
const BLOCK_BYTES = 1000;

export interface StoredFrameOptions {
  /** With the content's size and no window, or the other way round. */
  readonly single: boolean;
  /** Whether the last block is one byte repeated. */
  readonly rle: boolean;
}

/** A frame whose blocks are stored as they are. */
export function storedZstdFrame(content: Uint8Array, { single, rle }: StoredFrameOptions): Buffer {
  const repeated = rle ? 700 : 0;
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length + repeated);
  const head = single
    ? Buffer.concat([Buffer.from([SINGLE_SEGMENT | FOUR_BYTE_SIZE]), size])
    : Buffer.from([0, WINDOW]);
  const blocks: Buffer[] = [];
  for (let at = 0; at === 0 || at < content.length; at += BLOCK_BYTES) {
    const piece = content.subarray(at, at + BLOCK_BYTES);
    const last = !rle && at + BLOCK_BYTES >= content.length;
    blocks.push(blockHeader("raw", piece.length, last), Buffer.from(piece));
  }
  if (rle) blocks.push(blockHeader("rle", repeated, true), Buffer.from([0]));
  return Buffer.concat([MAGIC, head, ...blocks]);
}

export function skippableZstdFrame(content: Uint8Array): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length);
  return Buffer.concat([SKIPPABLE_MAGIC, size, content]);
}

function blockHeader(type: keyof typeof BLOCK_TYPE, bytes: number, last: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((bytes << 3) | (BLOCK_TYPE[type] << 1) | (last ? 1 : 0), 0, 3);
  return header;
}

/** A few lines of text by `zstd -19 --check`: literals and sequences by Huffman and FSE, a checksum. */
export const compressedZstdFrame: Buffer = Buffer.from(
  "KLUv/WSYA20QAIbeVh8gdXNHoo/YN1qewhHCTiE5EgmOIg+rDLEgo4QQEWh4UQBJAEwA8Y8PPg0GhmlaLIYSWWwSosMZl1wek8ubo7ymp7MwtZc/m7UsANyxnsECHMq5eencDrrJ5KOvtvV7Sg26SbFTQizqGZsy9I383E3f9dXle5sF7I651VLO1mOrQX1Xtb2nlxPte1yP9jWWpXnFWNxzu7eeN2N93HGj1KC8vrUG95XG0rw/MmsXumI5Ct036y/mOLpnrdr1rF+oARIyNbus73NZKGtO3GedcSzuoqc2v/f90+iUQpC1VqLuux6l6yt+NqKdDINPVk/VLuM3fdrZE92DG79qd16JHZsbnXaU1/lxixPdbA5xz+2+V5Rnt80F7bc3deMXU75idxk/N+vNMi9xy8iCnuSdVzhOCSDsHuend1LVXu6x4o4zDguhm10oFBolAuEUhTjhDwRIJAaDcUrQj8UCSCAQEIFhTBoP9gzM86PS5EbT2tshY+zZ9VRp/i6L5H6rHtHz9mGYbSdrWS7jYdOCr2bAE4IOHto1bSQPeH+oFA1QFsg9iEl5AiGqJHjNpQ7R0N5ELJIwzPRtjkYu+NNJC1AzzEhq4JacpTDDYIai5iXTVim5jsnyZ5aHaksTV0Zz1W0ZQX5Gew9gWlbSGaYazvF8Mw0XnrsBp/0QbQOutfZJ5fC4ooOoG5/uncyuCMPVIO8=",
  "base64",
);
