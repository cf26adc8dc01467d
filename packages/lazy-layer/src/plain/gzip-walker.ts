import { BitFeed } from "./bit-feed.js";
import { createCodesReader, fixedCodes, followSymbols } from "./deflate-block.js";
import { type BitString, deflatePrefix } from "./deflate-prefix.js";
import { damagedGzip } from "./gzip-damage.js";

/** Where in a gzip blob a decoder can begin, and what it has to be given before. */
export interface GzipEntryPoint {
  /** Bytes of output before it. */
  readonly outputOffset: number;
  /** The byte of the blob in which it begins. */
  readonly blobOffset: number;
  /** The bit of that byte, counted from the lowest. */
  readonly bit: number;
  /** What a decoder is given before that byte: see {@link deflatePrefix}. Empty where a member begins. */
  readonly prefix: Uint8Array;
  /** Bytes of output of the same member before it: what matches may reach back to. */
  readonly history: number;
  readonly isMember: boolean;
}

/** Follows a gzip stream as its bytes come. What has thrown once is not used again. */
export interface GzipWalker {
  push(chunk: Uint8Array): void;
  end(): void;
  /** Bytes of the blob that have been followed: the points in the output of these are known. Some that were pushed may still wait. */
  readonly position: number;
}

/** No block header is longer: 17 bits, 19 lengths of 3, 320 code lengths of at most 14. */
const BLOCK_HEADER_BYTES = 600;
const TRAILER_BYTES = 8;
const MEMBER_HEADER_BYTES = 10;
const MEMBER_MAGIC = 0x088b1f;
const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16 };
const STORED = 0;
const FIXED = 1;
const RESERVED = 3;

const FIXED_CODES = fixedCodes();

/**
 * Finds entry points of a gzip stream (RFC 1951, RFC 1952): one each `spanBytes` of output, at the first symbol from there on, and in front of
 * members. Output is counted, not made: that is left to zlib, which also verifies what is only followed here.
 *
 * @param onPoint takes the points in order; the first is at 0. There is none where there is no output.
 * @throws {LayerFormatError} `compression_invalid` from `push` and `end`.
 */
export function createGzipWalker(spanBytes: number, onPoint: (point: GzipEntryPoint) => void): GzipWalker {
  const feed = new BitFeed();
  const readCodes = createCodesReader();
  let output = 0;
  let memberOutput = 0;
  /** From which output on the next point may be. */
  let nextOutput = 0;
  /** The last point; it is given on with the first byte of output that comes after it. */
  let last: GzipEntryPoint | undefined;
  let isGiven = false;

  const walk = members();

  /** @param head - the header of the block that lies open */
  function mark(isMember: boolean, head?: BitString): void {
    give();
    const bit = feed.at & 7;
    last = {
      outputOffset: output,
      blobOffset: feed.offset,
      bit,
      prefix: isMember ? new Uint8Array() : deflatePrefix(bit, head),
      history: output - memberOutput,
      isMember,
    };
    isGiven = false;
    nextOutput = output + spanBytes;
  }

  function give(): void {
    if (last === undefined || isGiven || last.outputOffset === output) return;
    onPoint(last);
    isGiven = true;
  }

  /** Each pause is for more bytes. */
  function* members(): Generator<void> {
    do {
      memberOutput = output;
      // A point within a member leads to its end only.
      if (last?.isMember !== true || last.outputOffset === output || output >= nextOutput) mark(true);
      yield* memberHeader();
      for (let isFinal = false; !isFinal;) isFinal = yield* block();
      feed.align();
      yield* feed.pass(TRAILER_BYTES);
      yield* feed.wait(1);
    } while (feed.available > 0);
  }

  function* memberHeader(): Generator<void> {
    yield* feed.wait(MEMBER_HEADER_BYTES);
    const start = feed.view.getUint32(feed.at >>> 3, true);
    yield* feed.pass(MEMBER_HEADER_BYTES);
    if ((start & 0xffffff) !== MEMBER_MAGIC) throw damagedGzip("something else follows the data");
    const flags = start >>> 24;
    if ((flags & FLAG.extra) !== 0) yield* feed.pass(yield* feed.number16());
    if ((flags & FLAG.name) !== 0) yield* feed.text();
    if ((flags & FLAG.comment) !== 0) yield* feed.text();
    if ((flags & FLAG.headerCrc) !== 0) yield* feed.pass(2);
  }

  /** Gives whether the block was the member's last. */
  function* block(): Generator<void, boolean> {
    if (output >= nextOutput) mark(false);
    yield* feed.wait(BLOCK_HEADER_BYTES);
    const start = feed.at;
    const isFinal = feed.bits(1) === 1;
    const type = feed.bits(2);
    if (type === STORED) yield* storedBlock();
    else if (type === RESERVED) throw damagedGzip("a block is of no known type");
    else yield* codedBlock(start, type === FIXED);
    return isFinal;
  }

  function* storedBlock(): Generator<void> {
    feed.align();
    const length = yield* feed.number16();
    if ((yield* feed.number16()) !== (length ^ 0xffff)) throw damagedGzip("a stored block's length is wrong");
    yield* feed.pass(length);
    output += length;
  }

  function* codedBlock(start: number, isFixed: boolean): Generator<void> {
    const codes = isFixed ? FIXED_CODES : readCodes(feed);
    if (feed.at > 8 * feed.end) throw damagedGzip("the data is truncated");
    const head = { bytes: feed.copy(start, feed.at), start: start & 7, length: feed.at - start };
    for (;;) {
      const followed = followSymbols(feed, codes, nextOutput - output);
      output += followed.output;
      if (followed.isDone) return;
      if (output >= nextOutput) mark(false, head);
      else if (feed.isEnded) throw damagedGzip("the data is truncated");
      else yield;
    }
  }

  return {
    get position() {
      return feed.offset;
    },
    push(chunk) {
      for (let taken = 0; taken < chunk.length;) {
        taken += feed.add(chunk.subarray(taken));
        walk.next();
      }
      give();
    },
    end() {
      feed.isEnded = true;
      if (walk.next().done !== true) throw damagedGzip("the data is truncated");
      give();
    },
  };
}
