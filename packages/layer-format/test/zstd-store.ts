/** A zstd frame that holds bytes as they are, in raw blocks: Node 20 cannot compress (RFC 8878, section 3.1.1). */
export function zstdCompressSync(bytes: Uint8Array): Buffer {
  const parts = [Buffer.from("28b52ffda0", "hex"), Buffer.alloc(4)];
  parts[1]?.writeUInt32LE(bytes.length);
  for (let at = 0; at === 0 || at < bytes.length; at += 65_536) {
    const block = bytes.subarray(at, at + 65_536);
    const isLast = at + 65_536 >= bytes.length ? 1 : 0;
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | isLast, 0, 3);
    parts.push(header, Buffer.from(block));
  }
  return Buffer.concat(parts);
}
