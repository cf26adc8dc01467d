import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { type CallOptions, quote } from "@lamella/refs";

import { OciClientError } from "./errors.js";

/** A regular file that somebody else made. */
export interface PlainFile {
  readonly size: number;
  /** All of it, or a part; a part that is not there is not given. Several may be read at once. */
  chunks(part?: FilePart): AsyncGenerator<Uint8Array, void, undefined>;
  close(): Promise<void>;
}

/** A run of bytes within a file. */
export interface FilePart {
  readonly offset: number;
  readonly size: number;
}

const CHUNK_BYTES = 256 * 1024;

// O_NONBLOCK: to open a FIFO without a writer would wait for ever.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Opens a file, neither following a symbolic link nor waiting on a FIFO.
 * @throws {OciClientError} `not_found`, `layout_invalid`
 */
export async function openPlainFile(path: string): Promise<PlainFile> {
  const handle = await open(path, FLAGS).catch((error: unknown) => {
    throw toError(error, path);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw refused(path, "it is not a regular file");
    return {
      size: stat.size,
      async *chunks({ offset, size } = { offset: 0, size: Number.POSITIVE_INFINITY }) {
        for (let done = 0; done < size;) {
          const length = Math.min(CHUNK_BYTES, size - done);
          const { bytesRead, buffer } = await handle.read(new Uint8Array(length), 0, length, offset + done);
          if (bytesRead === 0) return;
          done += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Reads a small file whole.
 * @throws {OciClientError} `not_found`, `layout_invalid`, `too_large`
 */
export async function readPlainFile(path: string, limitBytes: number, { signal }: CallOptions): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const file = await openPlainFile(path);
  try {
    return await gatherSmall(file.chunks(), { path, limitBytes, signal });
  } finally {
    await file.close();
  }
}

/**
 * Reads a small content whole.
 * @throws {OciClientError} `too_large`
 */
export async function gatherSmall(
  source: AsyncIterable<Uint8Array>,
  { path, limitBytes, signal }: { path: string; limitBytes: number } & CallOptions,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    signal?.throwIfAborted();
    size += chunk.byteLength;
    if (size > limitBytes) {
      throw new OciClientError("too_large", `cannot read ${quote(path)}: it is over its limit of ${limitBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function toError(error: unknown, path: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new OciClientError("not_found", `cannot read ${quote(path)}: there is no such file`, { cause: error });
    case "ELOOP":
      return refused(path, "it is a symbolic link", error);
    case "ENXIO":
      return refused(path, "it is not a regular file", error);
    default:
      return error;
  }
}

function refused(path: string, state: string, cause?: unknown): OciClientError {
  return new OciClientError("layout_invalid", `cannot read ${quote(path)}: ${state}`, { cause });
}
