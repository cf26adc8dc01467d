import { open } from "node:fs/promises";

import {
  type CallOptions,
  createDigester,
  type Descriptor,
  digestAlgorithm,
  type Fetcher,
  isDocumentType,
  quote,
  type RangeFetcher,
  RefsError,
} from "@lamella/refs";

import { cutRanges } from "./byte-ranges.js";
import { OciClientError } from "./errors.js";
import { openPartFile, type PartFile } from "./part-file.js";

export interface FileDownloadProgress {
  /** What the file holds by now, that of earlier runs included. May fall to 0 when a download begins anew. */
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface FileDownloadOptions extends CallOptions {
  onProgress?: ((progress: FileDownloadProgress) => void) | undefined;
  /**
   * How many parts of the blob are fetched at once, from 1 to 16, each over its own connection. Default: 1. A registry that does not
   * serve parts, or wrong ones, is read in one stream.
   */
  ranges?: number | undefined;
}

export interface FileDownload {
  /** Bytes that came over the network now. */
  readonly fetchedBytes: number;
  /** Bytes that were there already. */
  readonly resumedBytes: number;
}

const MAX_RANGES = 16;
const PIECE_BYTES = 8 * 1024 * 1024;
const NOTE_BYTES = 256 * 1024;
const READ_BYTES = 1024 * 1024;

/**
 * Brings a blob into a file. Until its digest is right it stands beside it, as `PATH.<digest>.part`: a run that is cut off, by an error,
 * the signal or a kill, is taken up by the next one, which fetches what is missing. A file that is there with the right content
 * is left as it is; any other is replaced at the end. What turns out wrong is fetched once more if part of it came from an earlier run,
 * and removed otherwise; so is it when the disk fails. Only one call at a time may work on a path: a lock is the caller's.
 * @throws {RefsError} `digest_mismatch`, `size_mismatch`
 * @throws {OciClientError} those of a fetch; `storage` when the disk is full or fails
 * @throws {RangeError} for `ranges` outside 1 to 16
 */
export async function downloadBlobToFile(
  repository: Fetcher & RangeFetcher,
  descriptor: Descriptor,
  path: string,
  options: FileDownloadOptions = {},
): Promise<FileDownload> {
  const { signal, ranges = 1 } = options;
  signal?.throwIfAborted();
  if (!Number.isInteger(ranges) || ranges < 1 || ranges > MAX_RANGES) {
    throw new RangeError(`cannot download in ${ranges} ranges: not a whole number from 1 to ${MAX_RANGES}`);
  }
  const part = await openIfMissing(path, descriptor, options).catch((error: unknown) => {
    throw signal?.aborted === true ? error : toStorageError(error, path);
  });
  if (part === undefined) return { fetchedBytes: 0, resumedBytes: descriptor.size };
  const download = new Download(repository, descriptor, part, options);
  try {
    await download.receive(ranges);
    let actual = await part.digest();
    if (actual !== descriptor.digest && download.resumedBytes > 0) {
      await download.restart();
      await download.receive(ranges);
      actual = await part.digest();
    }
    if (actual !== descriptor.digest) {
      throw new RefsError("digest_mismatch", `cannot verify ${descriptor.digest}: the body's digest is ${actual}`);
    }
    signal?.throwIfAborted();
    await part.finish();
  } catch (error) {
    const mayResume = error instanceof OciClientError || signal?.aborted === true;
    if (!mayResume || part.receivedBytes() === 0) await part.discard();
    throw signal?.aborted === true ? error : toStorageError(error, path);
  } finally {
    await part[Symbol.asyncDispose]();
  }
  return { fetchedBytes: download.fetchedBytes, resumedBytes: download.resumedBytes };
}

async function openIfMissing(
  path: string,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<PartFile | undefined> {
  return (await isThere(path, descriptor, options)) ? undefined : openPartFile(path, descriptor);
}

function toStorageError(error: unknown, path: string): unknown {
  const code = error instanceof Error && "syscall" in error && "code" in error ? String(error.code) : undefined;
  if (code === undefined || error instanceof OciClientError) return error;
  return new OciClientError("storage", `cannot write ${quote(path)}: ${code}`, { cause: error });
}

class Download {
  fetchedBytes = 0;
  resumedBytes: number;
  readonly #source: Fetcher & RangeFetcher;
  readonly #descriptor: Descriptor;
  readonly #part: PartFile;
  readonly #options: FileDownloadOptions;

  constructor(source: Fetcher & RangeFetcher, descriptor: Descriptor, part: PartFile, options: FileDownloadOptions) {
    this.#source = source;
    this.#descriptor = descriptor;
    this.#part = part;
    this.#options = options;
    this.resumedBytes = part.resumedBytes;
  }

  async restart(): Promise<void> {
    await this.#part.restart();
    this.resumedBytes = 0;
  }

  async receive(ranges: number): Promise<void> {
    const { size, mediaType } = this.#descriptor;
    this.#report();
    const isFresh = this.#part.receivedBytes() === 0;
    if (isDocumentType(mediaType) || (isFresh && (ranges === 1 || size <= PIECE_BYTES))) return this.#receiveWhole();
    try {
      await this.#receivePieces(ranges);
    } catch (error) {
      if (!(error instanceof OciClientError) || error.code !== "range_unusable") throw error;
      await this.#receiveWhole();
    }
  }

  async #receiveWhole(): Promise<void> {
    await this.restart();
    const { signal } = this.#options;
    await this.#take(this.#source.fetch(this.#descriptor, { signal }), 0);
  }

  /** The others wait until the first piece has begun to come: a registry that ignores ranges would send each of them the whole. */
  async #receivePieces(ranges: number): Promise<void> {
    const pieces = cutRanges(this.#part.missing(), ranges === 1 ? this.#descriptor.size : PIECE_BYTES);
    const failing = new AbortController();
    const { signal: outer } = this.#options;
    const signal = outer === undefined ? failing.signal : AbortSignal.any([outer, failing.signal]);
    let next = 0;
    const work = async (onBegin?: () => void): Promise<void> => {
      try {
        for (let piece = pieces[next++]; piece !== undefined; piece = pieces[next++]) {
          await this.#take(this.#source.fetchRange(this.#descriptor, piece, { signal }), piece.offset, onBegin);
        }
      } catch (error) {
        failing.abort(error);
        throw error;
      }
    };
    const workers: Promise<void>[] = [];
    await new Promise<void>((resolve) => {
      const first = work(resolve);
      workers.push(first);
      first.then(resolve, () => resolve());
    });
    while (workers.length < Math.min(ranges, pieces.length)) workers.push(work());
    await Promise.allSettled(workers);
    // The reason is the first failure, or that of the caller; the other workers only follow.
    signal.throwIfAborted();
  }

  async #take(body: AsyncIterable<Uint8Array>, start: number, onBegin?: () => void): Promise<void> {
    let offset = start;
    let unnoted = 0;
    try {
      for await (const chunk of body) {
        await this.#part.write(offset, chunk);
        onBegin?.();
        offset += chunk.byteLength;
        unnoted += chunk.byteLength;
        this.fetchedBytes += chunk.byteLength;
        this.#report();
        if (unnoted < NOTE_BYTES) continue;
        unnoted = 0;
        await this.#part.note();
      }
    } finally {
      await this.#part.note();
    }
  }

  #report(): void {
    this.#options.onProgress?.({ receivedBytes: this.#part.receivedBytes(), totalBytes: this.#descriptor.size });
  }
}

/** Whether a regular file holds just this content. */
async function isThere(path: string, { digest, size }: Descriptor, { signal }: CallOptions): Promise<boolean> {
  const file = await open(path, "r").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (file === undefined) return false;
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size !== size) return false;
    const digester = createDigester(digestAlgorithm(digest));
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, null);
      if (bytesRead === 0) return digester.digest() === digest;
      digester.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
