import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

import {
  type BlobRange,
  createDigester,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  type Digester,
  digestHex,
} from "@lamella/refs";

import { addRange, missingRanges } from "./byte-ranges.js";

/**
 * A blob on its way to a file: `PATH.<digest>.part` holds its bytes, each where it belongs, and `PATH.<digest>.ranges` says which are
 * there, a line `offset length` for each piece. A piece is noted after it was written, so that a process that dies loses at most what it
 * had not noted; a machine that dies may leave notes of bytes that never came to the disk, which the digest finds.
 */
export interface PartFile extends AsyncDisposable {
  /** Bytes that an earlier process left. */
  readonly resumedBytes: number;
  receivedBytes(): number;
  missing(): BlobRange[];
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Notes what was written since the last note. */
  note(): Promise<void>;
  /** Of all bytes, once none is missing. Called once, and once more after {@link PartFile.restart}. */
  digest(): Promise<Digest>;
  /** Gives up all bytes. */
  restart(): Promise<void>;
  /** Makes the bytes durable and gives them their name. */
  finish(): Promise<void>;
  /** Removes both files. */
  discard(): Promise<void>;
}

/** None of the modes that have a letter creates a file without emptying it and writes where it is told to. */
const UPDATE = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
const NOTES = UPDATE | constants.O_APPEND;

const READ_BYTES = 1024 * 1024;
const MAX_NOTES_BYTES = 64 * 1024 * 1024;

export async function openPartFile(path: string, { digest, size }: Descriptor): Promise<PartFile> {
  const name = `${path}.${digestHex(digest).slice(0, 16)}`;
  const [partPath, notesPath] = [`${name}.part`, `${name}.ranges`];
  const part = await open(partPath, UPDATE, 0o666);
  let notes: FileHandle;
  try {
    notes = await open(notesPath, NOTES, 0o666);
  } catch (error) {
    await part.close();
    throw error;
  }
  let done = await readNotes(notes, Math.min((await part.stat()).size, size)).catch(async (error: unknown) => {
    await Promise.allSettled([part.close(), notes.close()]);
    throw error;
  });
  let pending: BlobRange[] = [];
  let hash: { digester: Digester; position: number } = startHash();
  let following: Promise<void> = Promise.resolve();
  const resumedBytes = totalOf(done);

  function startHash(): typeof hash {
    return { digester: createDigester(digestAlgorithm(digest)), position: 0 };
  }

  async function readUpTo(end: number): Promise<void> {
    if (hash.position >= end) return;
    const buffer = new Uint8Array(READ_BYTES);
    while (hash.position < end) {
      const length = Math.min(READ_BYTES, end - hash.position);
      const { bytesRead } = await part.read(buffer, 0, length, hash.position);
      if (bytesRead === 0) return;
      hash.digester.update(buffer.subarray(0, bytesRead));
      hash.position += bytesRead;
    }
  }

  /** Hashes what stands without a gap, in one go at a time, so that little is left to do at the end. */
  function follow(): Promise<void> {
    following = following.then(() => readUpTo(done[0]?.offset === 0 ? done[0].length : 0));
    return following;
  }

  const close = async (): Promise<void> => {
    await Promise.all([part.close(), notes.close()]);
  };
  return {
    resumedBytes,
    receivedBytes: () => totalOf(done),
    missing: () => missingRanges(done, size),
    async write(offset, bytes) {
      for (let written = 0; written < bytes.byteLength;) {
        written += (await part.write(bytes, written, bytes.byteLength - written, offset + written)).bytesWritten;
      }
      if (hash.position === offset) {
        hash.digester.update(bytes);
        hash.position += bytes.byteLength;
      }
      const range = { offset, length: bytes.byteLength };
      done = addRange(done, range);
      pending = addRange(pending, range);
    },
    async note() {
      const lines = pending.map(({ offset, length }) => `${offset} ${length}\n`).join("");
      pending = [];
      if (lines !== "") await notes.appendFile(lines);
      await follow();
    },
    async digest() {
      await follow();
      return hash.digester.digest();
    },
    async restart() {
      await following;
      await notes.truncate(0);
      await part.truncate(0);
      done = [];
      pending = [];
      hash = startHash();
    },
    async finish() {
      await part.truncate(size);
      await part.sync();
      await rename(partPath, path);
      await syncDirectory(dirname(path));
      await rm(notesPath, { force: true });
    },
    async discard() {
      await Promise.all([rm(partPath, { force: true }), rm(notesPath, { force: true })]);
    },
    [Symbol.asyncDispose]: close,
  };
}

/** A last line without its end was being written when the process died; what else is no note is passed over. */
async function readNotes(notes: FileHandle, size: number): Promise<BlobRange[]> {
  if ((await notes.stat()).size > MAX_NOTES_BYTES) return [];
  const text = await notes.readFile("utf8");
  let done: BlobRange[] = [];
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    const match = /^([0-9]{1,15}) ([0-9]{1,15})$/.exec(line);
    const [offset, length] = [Number(match?.[1]), Number(match?.[2])];
    if (match !== null && length > 0 && offset + length <= size) done = addRange(done, { offset, length });
  }
  // A half line would spoil the next note.
  if (text !== "" && !text.endsWith("\n")) await notes.appendFile("\n");
  return done;
}

function totalOf(ranges: readonly BlobRange[]): number {
  return ranges.reduce((total, { length }) => total + length, 0);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
