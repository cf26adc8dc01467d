import { pack, type Header } from "tar-stream";

export type PackedEntry = Partial<Header> & { name: string; content?: string | Uint8Array };

/** A well-formed tar of these entries. */
export async function packTar(entries: readonly PackedEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = "", ...header } of entries)
    tar.entry({ mtime: new Date(1e12), ...header }, Buffer.from(content));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The bytes in pieces of `size`. */
export async function* inChunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}
