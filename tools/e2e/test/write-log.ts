/**
 * What was written to a disk and when it was flushed, in the format of Linux's dm-log-writes (drivers/md/dm-log-writes.c), which QEMU's
 * blklogwrites writes too. All numbers are little-endian; an entry lies in a sector of its own, its data in those that follow.
 *
 *     superblock   magic u64 | version u64 = 1 | number of entries u64 | sector size u32
 *     entry        sector u64 | number of sectors u64 | flags u64 | length u64 of a mark's text | data, of all but a discard
 */

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
const FLUSH = 1n;
const DISCARD = 4n;

/** A write of a whole number of sectors. */
export interface LoggedWrite {
  readonly kind: "write";
  /** In bytes. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** When what was written before it is safe: its place in the log is where that had come true. */
interface LoggedFlush {
  readonly kind: "flush";
}

export type LogEntry = LoggedWrite | LoggedFlush;

export interface WriteLog {
  readonly entries: readonly LogEntry[];
  readonly sectorSize: number;
}

export function parseWriteLog(log: Buffer): WriteLog {
  if (log.readBigUInt64LE(0) !== MAGIC || log.readBigUInt64LE(8) !== VERSION) throw new Error("no log of writes");
  const count = Number(log.readBigUInt64LE(16));
  const sectorSize = log.readUInt32LE(24);
  const entries: LogEntry[] = [];
  let at = sectorSize;
  for (let number = 0; number < count; number++) {
    const [sector, sectors, flags] = [0, 8, 16].map((field) => log.readBigUInt64LE(at + field)) as [
      bigint,
      bigint,
      bigint,
    ];
    if ((flags & ~FLUSH) !== 0n)
      throw new Error(`entry ${number} of the log is neither a write nor a flush: ${describeFlags(flags)}`);
    const length = Number(sectors) * sectorSize;
    const data = log.subarray(at + sectorSize, at + sectorSize + length);
    if (data.length !== length) throw new Error(`the log ends within entry ${number} of ${count}`);
    if ((flags & FLUSH) !== 0n) entries.push({ kind: "flush" });
    if (length > 0) entries.push({ kind: "write", offset: Number(sector) * sectorSize, data });
    at += sectorSize + length;
  }
  return { entries, sectorSize };
}

function describeFlags(flags: bigint): string {
  return (flags & DISCARD) === 0n ? `flags ${flags}` : "a discard";
}

/**
 * What may be on the disk of the writes that no flush had followed when the power was cut: each is there, or is not, or some of its sectors
 * are. Where one was written over by the next, either may be found.
 */
export function survivors(
  unflushed: readonly LogEntry[],
  { random, sectorSize }: { random: () => number; sectorSize: number },
): LoggedWrite[] {
  return unflushed.flatMap((entry) => {
    if (entry.kind === "flush") throw new Error("a flushed write cannot be lost");
    const fate = random();
    if (fate < 1 / 3) return [];
    return fate < 2 / 3 ? [entry] : tear(entry, { random, sectorSize });
  });
}

function tear(
  { offset, data }: LoggedWrite,
  { random, sectorSize }: { random: () => number; sectorSize: number },
): LoggedWrite[] {
  const sectors = Array.from({ length: data.length / sectorSize }, (_, number) => number * sectorSize);
  return sectors
    .filter(() => random() < 0.5)
    .map((at) => ({ kind: "write", offset: offset + at, data: data.subarray(at, at + sectorSize) }));
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
