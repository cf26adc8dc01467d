import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { createDigester, digestAlgorithm, RefsError, type CallOptions, type Digest } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import { createLayerReader } from "../../tar/layer-reader.js";
import type { LayerLimits } from "../../limits.js";
import { AppendFile } from "../append-file.js";
import { IndexBuilder } from "./builder.js";
import { encodeFooter, encodeHeader, type ArchiveSummary } from "./footer.js";
import { ContentHasher, layerHash } from "./hash.js";
import { CONTENTS_NAME, INDEX_NAME } from "./layout.js";
import { PageWriter } from "./pages.js";
import { inspectArchive } from "./reader.js";

export interface WriteLayerOptions extends CallOptions {
  /** What the tar's digest must be. Without it, the diffID is the SHA-256 of what comes. */
  diffID?: Digest;
  limits?: Partial<LayerLimits>;
}

export type WrittenLayer = ArchiveSummary;

const RENAME_TRIES = 5;

/**
 * Makes a layer archive of an uncompressed tar, in one pass: hashed, parsed and stored as it comes. The index is gathered in memory, as far as
 * `limits` let it grow (entries and metadata), and written at the end.
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
  const builder = new IndexBuilder();
  await using contents = await AppendFile.create(join(directory, CONTENTS_NAME));
  const { diffID, tarBytes } = await readTar(tar, options, { builder, contents });
  await contents.finish();
  const order = builder.canonicalOrder();
  const { entryCount, contentsBytes } = builder;
  const written = { diffID, layerHash: layerHash(builder, order), entryCount, contentsBytes, tarBytes };
  await writeIndex(join(directory, INDEX_NAME), { builder, order, written });
  await syncDirectory(directory);
  return written;
}

/** Reads the tar to its end, its data into a file and all else into the builder, and checks its digest. */
async function readTar(
  tar: AsyncIterable<Uint8Array>,
  { diffID: expected, signal, limits = {} }: WriteLayerOptions,
  { builder, contents }: { builder: IndexBuilder; contents: AppendFile },
): Promise<{ diffID: Digest; tarBytes: number }> {
  const tarDigest = createDigester(expected === undefined ? "sha256" : digestAlgorithm(expected));
  const hasher = new ContentHasher(builder);
  let tarBytes = 0;
  const reader = createLayerReader(
    {
      entry: (entry) => hasher.begin(builder.add(entry), entry),
      contents(bytes) {
        contents.append(bytes);
        hasher.update(bytes);
      },
    },
    { limits },
  );
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    tarBytes += chunk.length;
    tarDigest.update(chunk);
    reader.push(chunk);
    await contents.drain();
  }
  signal?.throwIfAborted();
  reader.end();
  const diffID = tarDigest.digest();
  if (expected !== undefined && diffID !== expected) {
    throw new RefsError("digest_mismatch", `cannot write layer ${expected}: the tar's digest is ${diffID}`);
  }
  return { diffID, tarBytes };
}

async function writeIndex(
  path: string,
  { builder, order, written }: { builder: IndexBuilder; order: Uint32Array; written: WrittenLayer },
): Promise<void> {
  await using index = await AppendFile.create(path);
  const pages = new PageWriter((page) => index.append(page));
  pages.write(encodeHeader());
  for (const bytes of builder.sections(order)) {
    pages.write(bytes);
    await index.drain();
  }
  pages.fill();
  pages.write(encodeFooter({ ...written, bodiesBytes: builder.bodiesBytes }));
  pages.fill();
  await index.finish();
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
    return await inspectArchive(directory, options);
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
