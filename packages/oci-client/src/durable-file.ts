import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A file that is not there for others before it is whole: a temporary one on the same file system, synced, then renamed. */
export interface DurableFile extends AsyncDisposable {
  /** How many bytes it has. */
  readonly size: number;
  /** Does not look at the bytes once it has resolved. */
  write(bytes: Uint8Array): Promise<void>;
  /** Takes back what was written after the first `size` bytes. */
  truncate(size: number): Promise<void>;
  /** Syncs it and gives it its name; one that has the name is replaced. */
  publish(path: string): Promise<void>;
}

/** One write of a mebibyte takes a third of the time that eight of its eighths take, measured. */
const BUFFER_BYTES = 1 << 20;
/** From this size on a chunk is worth a write of its own, which saves the copy into the buffer. */
const DIRECT_BYTES = 1 << 18;
/** After so much the disk is set to work while more comes, so that less is left for the end. */
const SYNC_BYTES = 32 << 20;

/** Disposed of without `publish`, it leaves nothing. */
export async function createDurableFile(temporary: string): Promise<DurableFile> {
  const handle = await open(temporary, "wx", 0o644);
  let buffer: Buffer | undefined;
  let buffered = 0;
  let written = 0;
  let isOpen = true;
  let unsynced = 0;
  let syncing: Promise<void> | undefined;
  let syncFailure: unknown;

  async function writeOut(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += (await handle.write(bytes, done, bytes.length - done, written + done)).bytesWritten;
    }
    written += bytes.length;
    unsynced += bytes.length;
    if (unsynced >= SYNC_BYTES && syncing === undefined) syncAhead();
  }

  /** A failure is told of once by the system, and belongs to the file as a whole. */
  function syncAhead(): void {
    unsynced = 0;
    syncing = handle
      .datasync()
      .catch((error: unknown) => {
        syncFailure ??= error;
      })
      .finally(() => {
        syncing = undefined;
      });
  }

  async function flush(): Promise<void> {
    if (buffer !== undefined) await writeOut(buffer.subarray(0, buffered));
    buffered = 0;
  }

  return {
    get size() {
      return written + buffered;
    },
    async write(bytes) {
      if (bytes.length >= DIRECT_BYTES) {
        await flush();
        return writeOut(bytes);
      }
      buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
      for (let at = 0; at < bytes.length;) {
        const part = bytes.subarray(at, at + BUFFER_BYTES - buffered);
        buffer.set(part, buffered);
        buffered += part.length;
        at += part.length;
        if (buffered === BUFFER_BYTES) await flush();
      }
    },
    async truncate(length) {
      await flush();
      await handle.truncate(length);
      written = length;
    },
    async publish(path) {
      await flush();
      await syncing;
      if (syncFailure !== undefined) throw syncFailure;
      await handle.sync();
      await rename(temporary, path);
      isOpen = false;
      await handle.close();
      await syncDirectory(dirname(path));
    },
    async [Symbol.asyncDispose]() {
      if (!isOpen) return;
      isOpen = false;
      await syncing;
      await handle.close().finally(() => rm(temporary, { force: true }));
    },
  };
}

/** Replaces a small file as a whole, by way of a temporary one in the same directory. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await createDurableFile(temporaryName(join(dirname(path), ".ingest")));
  await file.write(bytes);
  await file.publish(path);
}

/** A name beside `path` that nobody else has. */
export function temporaryName(path: string): string {
  return `${path}.${randomUUID()}.tmp`;
}

/** Makes a directory whose entry survives a power cut. */
export async function makeDirectory(path: string): Promise<void> {
  const created = await mkdir(path, { recursive: true });
  if (created !== undefined) await syncDirectory(dirname(created));
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
