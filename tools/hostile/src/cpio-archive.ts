/** An entry of a cpio archive ("newc"), as a second witness of what an image holds. */
export interface CpioEntry {
  /** A byte string, without a leading `./`; the root is the empty string. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** A file's content or a symlink's target, a byte string. Of hard links the last one has it. */
  readonly content: string;
  readonly inode: number;
}

const HEADER_BYTES = 110;
const MAGIC = "070701";
const TRAILER = "TRAILER!!!";

/** Reads a whole archive that is small. */
export function readCpio(archive: Buffer): CpioEntry[] {
  const entries: CpioEntry[] = [];
  for (let at = 0; ;) {
    const header = archive.toString("latin1", at, at + HEADER_BYTES);
    if (!header.startsWith(MAGIC)) throw new Error(`cannot read cpio archive: no header at byte ${at}`);
    const field = (index: number): number => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
    const nameEnd = at + HEADER_BYTES + field(11);
    const name = archive.toString("latin1", at + HEADER_BYTES, nameEnd - 1);
    if (name === TRAILER) return entries;
    const start = aligned(nameEnd);
    const end = start + field(6);
    entries.push({
      path: name === "." ? "" : name.replace(/^\.\//, ""),
      inode: field(0),
      mode: field(1),
      uid: field(2),
      gid: field(3),
      content: archive.toString("latin1", start, end),
    });
    at = aligned(end);
  }
}

function aligned(offset: number): number {
  return (offset + 3) & ~3;
}
