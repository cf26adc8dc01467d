import { LayerFormatError } from "./errors.js";

/**
 * Takes the frames of a zstd stream as they come, skippable ones left out (RFC 8878, section 3).
 *
 *     magic 4 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | { block header 3 | block }… | checksum 0-4
 */
export interface ZstdFrameSink {
  /** A frame of data begins; its header, the magic number included, and the size that it gives, if it does. */
  begin(header: Uint8Array, contentSize: number | undefined): void;
  /** A piece of a block, whose header comes first. Valid only during the call. */
  block(bytes: Uint8Array): void;
  /** The block is whole. */
  endBlock(isLast: boolean): void;
  /** The frame has ended. Either number is undefined where the frame does not have it. */
  end(contentSize: number | undefined, checksum: number | undefined): void;
  /** A frame, skippable or not, ends before this byte of the stream: what follows can be read without what came before. */
  boundary?(offset: number): void;
}

/** Follows a zstd stream's structure: what a decoder is given is whole, of a known format and within the window allowed. */
export interface ZstdFrameReader {
  push(chunk: Uint8Array): void;
  end(): void;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_BYTES = 128 * 1024;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

type Step = "magic" | "skippableSize" | "skip" | "descriptor" | "header" | "blockHeader" | "block" | "checksum";

export function createZstdFrameReader(sink: ZstdFrameSink, windowBytes: number): ZstdFrameReader {
  const field = new Uint8Array(14);
  const view = new DataView(field.buffer);
  let step: Step = "magic";
  let filled = 0;
  /** Bytes that the step still wants; those of fields are gathered, those of blocks and skippable frames pass through. */
  let wanted = 4;
  let position = 0;
  let descriptor = 0;
  let contentSize: number | undefined;
  let lastBlock = false;

  function enter(next: Step, bytes: number): void {
    step = next;
    wanted = bytes;
    filled = 0;
    // A block or a skippable frame of no bytes is complete at once.
    if (bytes === 0) finishStep();
  }

  function push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const part = chunk.subarray(at, at + wanted);
      if (step === "block") sink.block(part);
      else if (step !== "skip") {
        field.set(part, filled);
        filled += part.length;
      }
      at += part.length;
      position += part.length;
      wanted -= part.length;
      if (wanted === 0) finishStep();
    }
  }

  function finishStep(): void {
    switch (step) {
      case "magic":
        return readMagic(view.getUint32(0, true));
      case "skippableSize":
        return enter("skip", view.getUint32(0, true));
      case "descriptor":
        return readDescriptor(field[0] ?? 0);
      case "header":
        return readHeader();
      case "blockHeader":
        return readBlockHeader();
      case "block":
        return endBlock();
      case "checksum":
        sink.end(contentSize, view.getUint32(0, true));
        return enterNext();
      case "skip":
        return enterNext();
    }
  }

  function enterNext(): void {
    sink.boundary?.(position);
    enter("magic", 4);
  }

  function readMagic(magic: number): void {
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) return enter("skippableSize", 4);
    if (magic !== MAGIC) throw invalid("something that is no frame follows");
    enter("descriptor", 1);
  }

  function readDescriptor(value: number): void {
    descriptor = value;
    if ((value & 0x08) !== 0) throw invalid("a reserved bit is set");
    enter("header", (isSingleSegment() ? 0 : 1) + dictionaryBytes() + contentSizeBytes());
  }

  function readHeader(): void {
    const dictionaryAt = isSingleSegment() ? 0 : 1;
    const contentAt = dictionaryAt + dictionaryBytes();
    const bytes = contentSizeBytes();
    if (readLittleEndian(view, dictionaryAt, dictionaryBytes()) !== 0) throw invalid("it needs a dictionary");
    // Two bytes count from 256 on (section 3.1.1.1.4).
    contentSize = bytes === 0 ? undefined : readLittleEndian(view, contentAt, bytes) + (bytes === 2 ? 256 : 0);
    const window = isSingleSegment() ? (contentSize ?? 0) : windowSize(field[0] ?? 0);
    if (window > windowBytes) {
      const rule = `zstd needs a window of over ${windowBytes} bytes`;
      throw new LayerFormatError("layer_limit", `cannot decompress layer: ${rule}`);
    }
    const header = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, descriptor, ...field.subarray(0, contentAt + bytes));
    sink.begin(header, contentSize);
    enter("blockHeader", 3);
  }

  function readBlockHeader(): void {
    const header = readLittleEndian(view, 0, 3);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === RESERVED_BLOCK || size > MAX_BLOCK_BYTES) throw invalid("a block's header is wrong");
    lastBlock = (header & 1) !== 0;
    sink.block(field.subarray(0, 3));
    enter("block", type === RLE_BLOCK ? 1 : size);
  }

  function endBlock(): void {
    sink.endBlock(lastBlock);
    if (!lastBlock) return enter("blockHeader", 3);
    if ((descriptor & 0x04) !== 0) return enter("checksum", 4);
    sink.end(contentSize, undefined);
    enterNext();
  }

  function isSingleSegment(): boolean {
    return (descriptor & 0x20) !== 0;
  }

  function dictionaryBytes(): number {
    return DICTIONARY_BYTES[descriptor & 3] ?? 0;
  }

  function contentSizeBytes(): number {
    const bytes = CONTENT_SIZE_BYTES[descriptor >> 6] ?? 0;
    return bytes === 0 && isSingleSegment() ? 1 : bytes;
  }

  function end(): void {
    if (step !== "magic" || filled > 0) throw invalid("the data is truncated");
  }

  return { push, end };
}

/** Section 3.1.1.1.2. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function readLittleEndian(view: DataView, at: number, bytes: number): number {
  let value = 0;
  for (let index = bytes - 1; index >= 0; index--) value = value * 256 + view.getUint8(at + index);
  return value;
}

function invalid(rule: string): LayerFormatError {
  return new LayerFormatError("compression_invalid", `cannot decompress layer: the zstd stream is damaged: ${rule}`);
}
