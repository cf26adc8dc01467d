import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { type FileIdentity, hostPath, treeChanged } from "./directory-tree-scan.js";

const CHUNK_BYTES = 1 << 20;
/** Files open at once, whatever is read at the same time. */
const MOST_OPEN = 16;
const GONE = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

export interface FileRead extends CallOptions {
  readonly offset: number;
  readonly length: number;
}

/** Reads files of a directory, each chunk from a file that is what it was when the directory was read. */
export class DirectoryFiles {
  readonly #root: string;
  #open = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * No file stays open between two chunks: a reader may stop, or wait for another.
   * A chunk is valid only until the next is asked for.
   */
  async *read(file: FileIdentity, { offset, length, signal }: FileRead): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length));
    for (let done = 0; done < length;) {
      signal?.throwIfAborted();
      const chunk = buffer.subarray(0, Math.min(buffer.length, length - done));
      await this.#fill(chunk, file, offset + done);
      signal?.throwIfAborted();
      yield chunk;
      done += chunk.length;
    }
  }

  async #fill(chunk: Buffer, file: FileIdentity, position: number): Promise<void> {
    await this.#enter();
    try {
      const handle = await openUnfollowed(this.#root, file.path);
      try {
        await assertSame(handle, file);
        await readFully(handle, { chunk, position, file });
        await assertSame(handle, file);
      } finally {
        await handle.close();
      }
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#open < MOST_OPEN) this.#open++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The next that waits takes the place over. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#open--;
    else next();
  }
}

/** Never waits for a pipe that has come in the file's place. */
async function openUnfollowed(root: string, path: string): Promise<FileHandle> {
  try {
    return await open(hostPath(root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? ""))
      throw treeChanged(path, "it was replaced or removed", error);
    throw error;
  }
}

async function assertSame(handle: FileHandle, file: FileIdentity): Promise<void> {
  const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
  if (dev !== file.device || ino !== file.inode) throw treeChanged(file.path, "another file has taken its place");
  if (size !== file.size || mtimeNs !== file.mtimeNs)
    throw treeChanged(file.path, "the file changed since its directory was read");
}

async function readFully(
  handle: FileHandle,
  { chunk, position, file }: { chunk: Buffer; position: number; file: FileIdentity },
): Promise<void> {
  for (let filled = 0; filled < chunk.length;) {
    const { bytesRead } = await handle.read(chunk, filled, chunk.length - filled, position + filled);
    if (bytesRead === 0) throw treeChanged(file.path, `the file ends at ${position + filled}`);
    filled += bytesRead;
  }
}
