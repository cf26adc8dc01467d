/** An entry as a tar's header has it: names are not looked at, so that hostile ones can be written. */
export interface RawEntry {
  readonly name: string;
  /** POSIX pax(1), typeflag. */
  readonly type: "file" | "link" | "symlink" | "directory";
  readonly content?: string;
  readonly linkName?: string;
  readonly mode?: number;
}

const TYPES: Readonly<Record<RawEntry["type"], string>> = { file: "0", link: "1", symlink: "2", directory: "5" };
const BLOCK = 512;

export function rawFile(name: string, content = "", mode = 0o644): RawEntry {
  return { name, type: "file", content, mode };
}

export function rawDirectory(name: string, mode = 0o755): RawEntry {
  return { name, type: "directory", mode };
}

export function rawSymlink(name: string, linkName: string): RawEntry {
  return { name, type: "symlink", linkName, mode: 0o777 };
}

export function rawLink(name: string, linkName: string): RawEntry {
  return { name, type: "link", linkName };
}

/** A ustar of these entries, each with its end. */
export function rawTar(entries: readonly RawEntry[]): Uint8Array {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? "");
    const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
    return [header(entry, content.length), content, padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header({ name, type, linkName = "", mode = 0o644 }: RawEntry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(linkName) > 100)
    throw new RangeError(`too long for a ustar: ${name}`);
  block.write(name, 0);
  const octal = (value: number, at: number, digits: number): number =>
    block.write(value.toString(8).padStart(digits, "0"), at);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(1, 136, 11);
  block.write(TYPES[type], 156);
  block.write(linkName, 157);
  block.write("ustar\x0000", 257);
  block.fill(" ", 148, 156);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  block[154] = 0;
  return block;
}
