import { open } from "node:fs/promises";

const BLOCK = 512;

/** A ustar header of a file. */
export function fileHeader(name, size) {
  const block = Buffer.alloc(BLOCK);
  const octal = (value, at, digits) => block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  block.write(name, 0, "latin1");
  octal(0o644, 100, 7);
  octal(1000, 108, 7);
  octal(1000, 116, 7);
  octal(size, 124, 11);
  octal(1_700_000_000, 136, 11);
  block.write("        0", 148, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  block[154] = 0;
  return block;
}

/** Writes a tar of `count` files, all of `size` bytes, with names as a package manager gives them. */
export async function writeTarOfFiles(path, { count, size }) {
  const data = Buffer.alloc(Math.ceil(size / BLOCK) * BLOCK);
  data.fill(0x61, 0, size);
  const file = await open(path, "w");
  try {
    let pieces = [];
    for (let at = 0; at < count; at++) {
      pieces.push(fileHeader(`usr/lib/node_modules/package-${at >> 5}/lib/file-${at}.js`, size), data);
      if (pieces.length < 1024 && data.length < 2 ** 20) continue;
      await file.write(Buffer.concat(pieces));
      pieces = [];
    }
    await file.write(Buffer.concat([...pieces, Buffer.alloc(2 * BLOCK)]));
  } finally {
    await file.close();
  }
}
