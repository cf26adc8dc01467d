import {
  type BigIntStats,
  close,
  closeSync,
  constants,
  fstat,
  fstatSync,
  open,
  openSync,
  read,
  readSync,
} from "node:fs";
import { promisify } from "node:util";

import type { CallOptions } from "@lamella/refs";

import { type FileIdentity, hostPath, treeChanged } from "./directory-tree-scan.js";
import { type Awaitable, type CallsOfBothKinds, Pace } from "./pace.js";

const CHUNK_BYTES = 1 << 20;
/** What is larger than this takes long enough to copy that the way through the thread pool does not matter. */
const QUICK_BYTES = 1 << 16;
/** Files open at once, whatever is read at the same time. */
const MOST_OPEN = 16;
const GONE = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);
/** Never waits for a pipe that has come in a file's place. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

interface FileCalls {
  open(path: Buffer): Awaitable<number>;
  status(fd: number): Awaitable<BigIntStats>;
  /** @returns how many bytes were read */
  read(fd: number, into: Uint8Array, position: number): Awaitable<number>;
  close(fd: number): Awaitable<void>;
}

const openPooled = promisify(open);
const statusPooled = promisify(fstat);
const readPooled = promisify(read);

const FILE_CALLS: CallsOfBothKinds<FileCalls> = {
  here: {
    open: (path) => openSync(path, OPEN_FLAGS),
    status: (fd) => fstatSync(fd, { bigint: true }),
    read: (fd, into, position) => readSync(fd, into, 0, into.length, position),
    close: closeSync,
  },
  pool: {
    open: (path) => openPooled(path, OPEN_FLAGS),
    status: (fd) => statusPooled(fd, { bigint: true }),
    read: async (fd, into, position) => (await readPooled(fd, into, 0, into.length, position)).bytesRead,
    close: promisify(close),
  },
};

export interface FileRead extends CallOptions {
  readonly offset: number;
  readonly length: number;
}

/** Reads files of a directory, each chunk from a file that is what it was when the directory was read. */
export class DirectoryFiles {
  readonly #root: string;
  readonly #pace: Pace<FileCalls> = new Pace(FILE_CALLS);
  #open = 0;
  /** What small files are read into. */
  #quick: Uint8Array | undefined;
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

  /** Bytes of a small file, if storage is quick; undefined otherwise. They are overwritten by the next that are asked for. */
  readNow(file: FileIdentity, offset: number, length: number): Uint8Array | undefined {
    if (length > QUICK_BYTES) return undefined;
    this.#quick ??= new Uint8Array(QUICK_BYTES);
    const chunk = this.#quick.subarray(0, length);
    const work = (): boolean => fillNow(hostPath(this.#root, file.path), { chunk, position: offset, file });
    return this.#pace.runNow(work) === true ? chunk : undefined;
  }

  async #fill(chunk: Buffer, file: FileIdentity, position: number): Promise<void> {
    const work = (calls: FileCalls): Promise<void> =>
      fill(calls, hostPath(this.#root, file.path), { chunk, position, file });
    await this.#enter();
    try {
      await (chunk.length > QUICK_BYTES ? work(FILE_CALLS.pool) : this.#pace.run(work));
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

interface Filling {
  readonly chunk: Uint8Array;
  readonly position: number;
  readonly file: FileIdentity;
}

async function fill(calls: FileCalls, path: Buffer, filling: Filling): Promise<void> {
  const fd = await openUnfollowed(calls, path, filling.file);
  try {
    assertSame(await calls.status(fd), filling.file);
    await readFully(calls, fd, filling);
    assertSame(await calls.status(fd), filling.file);
  } finally {
    await calls.close(fd);
  }
}

/**
 * As {@link fill}, but with one read, which may give less, and one look at the file: what was read before counts only if it is the same still.
 * @returns whether the chunk is full
 */
function fillNow(path: Buffer, { chunk, position, file }: Filling): boolean {
  let fd: number;
  try {
    fd = openSync(path, OPEN_FLAGS);
  } catch (error) {
    return refuseToOpen(file, error);
  }
  try {
    try {
      return readSync(fd, chunk, 0, chunk.length, position) === chunk.length;
    } finally {
      // Says more than an error in reading what is not the file.
      assertSame(fstatSync(fd, { bigint: true }), file);
    }
  } finally {
    closeSync(fd);
  }
}

async function openUnfollowed(calls: FileCalls, path: Buffer, file: FileIdentity): Promise<number> {
  try {
    return await calls.open(path);
  } catch (error) {
    return refuseToOpen(file, error);
  }
}

function refuseToOpen(file: FileIdentity, error: unknown): never {
  if (GONE.has((error as NodeJS.ErrnoException).code ?? ""))
    throw treeChanged(file.path, "it was replaced or removed", error);
  throw error;
}

function assertSame({ dev, ino, size, mtimeNs }: BigIntStats, file: FileIdentity): void {
  if (dev !== file.device || ino !== file.inode) throw treeChanged(file.path, "another file has taken its place");
  if (size !== file.size || mtimeNs !== file.mtimeNs)
    throw treeChanged(file.path, "the file changed since its directory was read");
}

async function readFully(calls: FileCalls, fd: number, { chunk, position, file }: Filling): Promise<void> {
  for (let filled = 0; filled < chunk.length;) {
    const count = await calls.read(fd, chunk.subarray(filled), position + filled);
    if (count === 0) throw treeChanged(file.path, `the file ends at ${position + filled}`);
    filled += count;
  }
}
