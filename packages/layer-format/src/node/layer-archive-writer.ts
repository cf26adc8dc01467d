import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { createDigester, digestAlgorithm, digestHex, RefsError, type CallOptions, type Digest } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";
import { createLayerReader } from "../layer-reader.js";
import type { LayerLimits } from "../limits.js";
import { AppendFile } from "./append-file.js";
import { encodeHeader, encodeTotals, EntryEncoder, type ArchiveTotals } from "./layer-archive-encoder.js";
import { CONTENTS_NAME, INDEX_NAME } from "./layer-archive-layout.js";
import { inspectArchive } from "./layer-archive-reader.js";

export interface WriteLayerOptions extends CallOptions {
  /** What the tar's digest must be. Without it, the diffID is the SHA-256 of what comes. */
  diffID?: Digest;
  limits?: Partial<LayerLimits>;
}

export interface WrittenLayer extends ArchiveTotals {
  readonly diffID: Digest;
}

const RENAME_TRIES = 5;

/**
 * Makes a layer archive of an uncompressed tar, in one pass: hashed, parsed and stored as it comes.
 *
 * Atomic: `directory` appears whole and flushed to disk, or not at all. A sound archive of the expected diffID that is there already is
 * left as it is and `tar` is not read; a damaged one is replaced. Two writers at the same time both succeed.
 * A writer that is killed leaves a directory `<directory>.tmp-<random>`, which nothing reads.
 *
 * @throws {RefsError} `digest_mismatch` if the tar is not `diffID`.
 * @throws {LayerFormatError} what the tar's reader refuses; `archive_invalid` if `directory` holds another layer or other things. Errors of the
 * file system (no space) pass as they are.
 */
export async function writeLayer(
  directory: string,
  tar: AsyncIterable<Uint8Array>,
  options: WriteLayerOptions = {},
): Promise<WrittenLayer> {
  const { diffID, signal } = options;
  signal?.throwIfAborted();
  if (diffID !== undefined) {
    const there = await findArchive(directory, options);
    if (there?.diffID === diffID) return there;
  }
  await mkdir(dirname(directory), { recursive: true });
  const temporary = temporaryName(directory);
  await mkdir(temporary);
  try {
    const written = await writeFiles(temporary, tar, options);
    signal?.throwIfAborted();
    await install(temporary, directory, written.diffID);
    return written;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function writeFiles(
  directory: string,
  tar: AsyncIterable<Uint8Array>,
  options: WriteLayerOptions,
): Promise<WrittenLayer> {
  await using contents = await AppendFile.create(join(directory, CONTENTS_NAME));
  await using index = await AppendFile.create(join(directory, INDEX_NAME));
  const written = await readTar(tar, options, { contents, index });
  await contents.finish();
  await index.finish();
  await syncDirectory(directory);
  return written;
}

/** Reads the tar to its end into the two files and checks its digest. */
async function readTar(
  tar: AsyncIterable<Uint8Array>,
  { diffID: expected, signal, limits = {} }: WriteLayerOptions,
  { contents, index }: { contents: AppendFile; index: AppendFile },
): Promise<WrittenLayer> {
  const tarDigest = createDigester(expected === undefined ? "sha256" : digestAlgorithm(expected));
  const indexDigest = createDigester();
  const encoder = new EntryEncoder();
  let tarBytes = 0;
  let entryCount = 0;
  const addToIndex = (bytes: Uint8Array): void => {
    indexDigest.update(bytes);
    index.append(bytes);
  };
  const reader = createLayerReader(
    {
      entry(entry) {
        entryCount++;
        addToIndex(encoder.encode(entry));
      },
      contents: (bytes) => contents.append(bytes),
    },
    { limits },
  );
  addToIndex(encodeHeader());
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    tarBytes += chunk.length;
    tarDigest.update(chunk);
    reader.push(chunk);
    await contents.drain();
    await index.drain();
  }
  signal?.throwIfAborted();
  reader.end();
  const diffID = tarDigest.digest();
  if (expected !== undefined && diffID !== expected) {
    throw new RefsError("digest_mismatch", `cannot write layer ${expected}: the tar's digest is ${diffID}`);
  }
  const totals = { entryCount, contentsBytes: contents.bytes, tarBytes };
  addToIndex(encodeTotals(totals, diffID));
  index.append(Buffer.from(digestHex(indexDigest.digest()), "hex"));
  return { diffID, ...totals };
}

/** Renames a finished archive into place, unless another writer was faster; a damaged archive there makes way. */
async function install(temporary: string, directory: string, diffID: Digest): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await rename(temporary, directory);
      break;
    } catch (error) {
      if (!isOccupied(error) || tries === RENAME_TRIES) throw error;
    }
    const there = await findArchive(directory);
    if (there?.diffID === diffID) break;
    if (there !== undefined)
      throw new LayerFormatError("archive_invalid", `cannot write layer ${diffID}: ${directory} holds ${there.diffID}`);
    await removeDamaged(directory);
  }
  await syncDirectory(dirname(directory));
}

async function removeDamaged(directory: string): Promise<void> {
  const aside = temporaryName(directory);
  try {
    const foreign = (await readdir(directory)).find((name) => name !== INDEX_NAME && name !== CONTENTS_NAME);
    if (foreign !== undefined) {
      throw new LayerFormatError(
        "archive_invalid",
        `cannot replace ${directory}: it holds ${JSON.stringify(foreign)}, so it is no layer archive`,
      );
    }
    // Renamed first: nobody ever sees a part of it.
    await rename(directory, aside);
  } catch (error) {
    // Another writer may have been faster here too.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** The archive at `directory` if there is a sound one. */
async function findArchive(directory: string, options: CallOptions = {}): Promise<WrittenLayer | undefined> {
  try {
    const { diffID, entryCount, contentsBytes, tarBytes } = await inspectArchive(directory, options);
    return { diffID, entryCount, contentsBytes, tarBytes };
  } catch (error) {
    if (error instanceof LayerFormatError) return undefined;
    throw error;
  }
}

function isOccupied(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOTEMPTY" || code === "EEXIST";
}

function temporaryName(directory: string): string {
  return `${directory}.tmp-${randomUUID()}`;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
