import { quote, RefsError } from "@lamella/refs";
import { pack } from "tar-stream";

import { createDurableFile, type DurableFile, temporaryName } from "./durable-file.js";

/** Writes a tar of files, one after the other, to a file that is there only once it is whole. */
export interface ArchiveWriter extends AsyncDisposable {
  /** Adds a file; one whose content fails leaves nothing of itself. One at a time. */
  add(name: string, size: number, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Ends the tar and gives it its name; a file that has the name is replaced. */
  publish(): Promise<void>;
}

const BLOCK_BYTES = 512;
/** POSIX: a tar ends with two blocks of zeros. */
const END = new Uint8Array(2 * BLOCK_BYTES);
/** The same images give the same archive. */
const EPOCH = new Date(0);

/** Disposed of without `publish`, it leaves nothing. */
export async function createArchiveWriter(path: string): Promise<ArchiveWriter> {
  const file: DurableFile = await createDurableFile(temporaryName(path));
  return {
    async add(name, size, content) {
      const start = file.size;
      try {
        for (const block of await encodeHeader(name, size)) await file.write(block);
        const contentStart = file.size;
        for await (const chunk of content) await file.write(chunk);
        if (file.size - contentStart !== size) {
          const state = `its content has ${file.size - contentStart} bytes, ${size} were promised`;
          throw new RefsError("size_mismatch", `cannot write ${quote(name)}: ${state}`);
        }
        await file.write(new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES));
      } catch (error) {
        await file.truncate(start);
        throw error;
      }
    },
    async publish() {
      await file.write(END);
      await file.publish(path);
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

/** tar-stream writes headers only into a tar of its own: each is taken from one that ends there, so that a content can be taken back. */
async function encodeHeader(name: string, size: number): Promise<Uint8Array[]> {
  const tar = pack();
  const sink = tar.entry({ name, size, mode: 0o644, mtime: EPOCH, type: "file" });
  // Destroyed without its content, which is written without it.
  sink.on("error", () => {});
  tar.on("error", () => {});
  const blocks: Uint8Array[] = [];
  try {
    await new Promise<void>((resolve) => void tar.once("readable", resolve));
    for (let block = tar.read() as Uint8Array | null; block !== null; block = tar.read() as Uint8Array | null) {
      blocks.push(block);
    }
    return blocks;
  } finally {
    tar.destroy();
  }
}
