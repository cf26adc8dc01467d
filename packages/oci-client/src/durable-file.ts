import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** A file that is not there for others before it is whole: a temporary one on the same file system, synced, then renamed. */
export interface DurableFile extends AsyncDisposable {
  /** How many bytes it has. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  /** Takes back what was written after the first `size` bytes. */
  truncate(size: number): Promise<void>;
  /** Syncs it and gives it its name; one that has the name is replaced. */
  publish(path: string): Promise<void>;
}

/** One write of a mebibyte takes a third of the time that eight of its eighths take, measured. */
const BUFFER_BYTES = 1 << 20;

/** Disposed of without `publish`, it leaves nothing. */
export async function createDurableFile(temporary: string): Promise<DurableFile> {
  const handle = await open(temporary, "wx", 0o644);
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let buffered = 0;
  let written = 0;
  let isOpen = true;

  async function flush(): Promise<void> {
    for (let done = 0; done < buffered;) {
      done += (await handle.write(buffer, done, buffered - done, written + done)).bytesWritten;
    }
    written += buffered;
    buffered = 0;
  }

  return {
    get size() {
      return written + buffered;
    },
    async write(bytes) {
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
      await handle.sync();
      await rename(temporary, path);
      isOpen = false;
      await handle.close();
      await syncDirectory(dirname(path));
    },
    async [Symbol.asyncDispose]() {
      if (!isOpen) return;
      isOpen = false;
      await handle.close().finally(() => rm(temporary, { force: true }));
    },
  };
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
