import { readdir, rmdir, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomUUID } from "node:crypto";

import { NEW_PREFIX, parseExtentName, PIN_PREFIX } from "./extent-name.js";

/** How much a cache holds, and what has to go when it is too much. Other processes work on the same directory, with quotas of their own. */
export interface CacheQuota {
  /** Does `put`, which writes so many bytes, if they may be written; makes room where it must. False if they were not. */
  write(bytes: number, put: () => Promise<boolean>): Promise<boolean>;
  /** So many bytes were removed. */
  release(bytes: number): void;
  /** Bytes of all extents, counted now. */
  usedBytes(): Promise<number>;
}

interface CacheFile {
  readonly path: string;
  readonly directory: string;
  readonly length: number;
}

/** A pin that was not touched for so long is one of a process that is gone. */
const PIN_LIFE_MS = 180_000;
const PIN_TOUCH_MS = 60_000;
/** A file that is being written for longer than this is not being written. */
const NEW_LIFE_MS = 3_600_000;
/** While nothing can be evicted the directory is not searched for every extent. */
const REFUSAL_MS = 10_000;
/** What others write is noticed after so much of our own, as a part of the quota. */
const RECOUNT_PART = 16;
/** Room is made for more than one extent at a time. */
const EVICT_TO = 0.9;

export function createCacheQuota(root: string, quotaBytes: number, now: () => number): CacheQuota {
  let counted: number | undefined;
  /** Bytes that may be written and are not there yet. */
  let writing = 0;
  /** Bytes written since they were counted. */
  let written = 0;
  let refusedUntil = 0;
  let turn: Promise<unknown> = Promise.resolve();

  /** What is written while it is counted may have been counted or not, and counts. */
  async function count(find: () => Promise<number>): Promise<void> {
    const before = written;
    counted = await find();
    written -= before;
  }

  function fits(bytes: number): boolean {
    return (counted ?? 0) + written + writing + bytes <= quotaBytes;
  }

  async function reserve(bytes: number): Promise<boolean> {
    if (bytes > quotaBytes) return false;
    if (counted === undefined || written > quotaBytes / RECOUNT_PART) {
      await count(async () => sum(await listExtents(root, now)));
    }
    if (!fits(bytes)) {
      if (now() < refusedUntil) return false;
      const limit = Math.min(quotaBytes * EVICT_TO, quotaBytes - bytes) - writing;
      await count(() => evict(root, limit, now));
      if (!fits(bytes)) {
        refusedUntil = now() + REFUSAL_MS;
        return false;
      }
    }
    writing += bytes;
    return true;
  }

  return {
    async write(bytes, put) {
      const reserved = turn.then(() => reserve(bytes));
      turn = reserved.catch(() => undefined);
      if (!(await reserved)) return false;
      try {
        const isWritten = await put();
        if (isWritten) written += bytes;
        return isWritten;
      } finally {
        writing -= bytes;
      }
    },
    release(bytes) {
      if (counted !== undefined) counted = Math.max(0, counted - bytes);
    },
    usedBytes: async () => sum(await listExtents(root, now)),
  };
}

/** Removes extents that nobody pins, the one read longest ago first. Gives how many bytes are left. */
async function evict(root: string, limitBytes: number, now: () => number): Promise<number> {
  const files = await listExtents(root, now);
  let left = sum(files);
  const pinned = new Map<string, boolean>();
  const candidates: (CacheFile & { readonly readAt: number })[] = [];
  for (const file of files) {
    if (!pinned.has(file.directory)) pinned.set(file.directory, await isPinned(file.directory, now));
    if (pinned.get(file.directory) === true) continue;
    const readAt = await timeOf(file.path);
    if (readAt !== undefined) candidates.push({ ...file, readAt });
  }
  candidates.sort((one, other) => one.readAt - other.readAt);
  for (const { path, length } of candidates) {
    if (left <= limitBytes) break;
    await unlink(path).catch(() => undefined);
    left -= length;
  }
  // Those that are not empty stay.
  for (const directory of new Set(candidates.map((file) => file.directory))) await rmdir(directory).catch(() => {});
  return left;
}

async function listExtents(root: string, now: () => number): Promise<CacheFile[]> {
  const files: CacheFile[] = [];
  for (const name of await namesIn(root)) {
    const directory = join(root, name);
    for (const file of await namesIn(directory)) {
      const path = join(directory, file);
      const extent = parseExtentName(file);
      if (extent !== undefined) files.push({ path, directory, length: extent.length });
      else if (file.startsWith(NEW_PREFIX) && isOlder(await timeOf(path), NEW_LIFE_MS, now))
        await unlink(path).catch(() => {});
    }
  }
  return files;
}

async function isPinned(directory: string, now: () => number): Promise<boolean> {
  let isInUse = false;
  for (const name of await namesIn(directory)) {
    if (!name.startsWith(PIN_PREFIX)) continue;
    const path = join(directory, name);
    if (isOlder(await timeOf(path), PIN_LIFE_MS, now)) await unlink(path).catch(() => {});
    else isInUse = true;
  }
  return isInUse;
}

function isOlder(time: number | undefined, lifeMs: number, now: () => number): boolean {
  return time === undefined || now() - time > lifeMs;
}

/** Undefined for what is gone. */
async function timeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

/** None of what is no directory, or gone. */
function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

function sum(files: readonly CacheFile[]): number {
  return files.reduce((total, { length }) => total + length, 0);
}

/** Keeps a blob from being evicted until the pin is taken out, or its process ends. */
export async function pinBlob(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, `${PIN_PREFIX}${randomUUID()}`);
  await writeFile(path, "");
  const timer = setInterval(() => {
    const time = new Date();
    utimes(path, time, time).catch(() => {});
  }, PIN_TOUCH_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await unlink(path).catch(() => {});
    // An empty directory says nothing.
    await rmdir(directory).catch(() => {});
  };
}
