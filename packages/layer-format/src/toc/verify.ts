import { type CallOptions, createDigester, type Digest, digestAlgorithm, type Digester } from "@lamella/refs";

import { byteString } from "../byte-string.js";
import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { LayerEntry } from "../layer.js";
import { createLayerReader } from "../tar/layer-reader.js";
import type { LayerLimits } from "../limits.js";
import { isText, lossyText } from "./fields.js";
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from "./layout.js";
import type { LayerToc, TocChunk } from "./toc.js";

export interface VerifyTocOptions extends CallOptions {
  limits?: Partial<LayerLimits>;
}

/** What was compared, and how often a table of contents could not say what the tar does. */
export interface TocVerification {
  readonly entryCount: number;
  readonly chunkCount: number;
  /** Entries with a name, a target or an xattr's name that is not UTF-8, which the table gives with U+FFFD in it. */
  readonly inexactNames: number;
  /** Entries whose time the table gives in whole seconds only, or not at all where it is within the first second of 1970. */
  readonly inexactTimes: number;
}

const ZEROS = new Uint8Array(65_536);

/**
 * Proves in one pass that a table of contents says what the layer's tar says: the same entries in the same order, every attribute,
 * every chunk's digest, and of an eStargz layer that the table inside is this one. The landmarks and the table are the format's own.
 *
 * Other writers cannot say everything: JSON has text where a tar has bytes, and Go's times are rounded. That is counted, not refused.
 *
 * @param tar the whole uncompressed tar, whose diffID the caller checks.
 * @throws {LayerFormatError} `toc_mismatch`, naming the entry and what differs; what the tar's reader refuses.
 */
export async function verifyToc(
  tar: AsyncIterable<Uint8Array>,
  toc: LayerToc,
  options: VerifyTocOptions = {},
): Promise<TocVerification> {
  const { signal, limits } = options;
  signal?.throwIfAborted();
  const comparison = new TocComparison(toc);
  const reader = createLayerReader(comparison, { limits });
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    reader.push(chunk);
  }
  signal?.throwIfAborted();
  reader.end();
  return comparison.finish();
}

class TocComparison {
  readonly #toc: LayerToc;
  #entryCount = 0;
  #inexactNames = 0;
  #inexactTimes = 0;
  #current: LayerEntry | undefined;
  /** Where the data at work stands in its file, with the holes. */
  #position = 0;
  #extentIndex = 0;
  readonly #data: ChunkComparison;
  #table: Digester | undefined;

  constructor(toc: LayerToc) {
    this.#toc = toc;
    this.#data = new ChunkComparison(toc.chunks);
  }

  entry(entry: LayerEntry): void {
    this.#endFile();
    const { path } = entry;
    if (path === TOC_NAME && this.#toc.format === "estargz") {
      this.#table = createDigester(digestAlgorithm(this.#toc.digest));
      return;
    }
    if (path === PREFETCH_LANDMARK || path === NO_PREFETCH_LANDMARK) return;
    const listed = this.#toc.entries[this.#entryCount];
    if (listed === undefined) throw mismatch(path, "it is in the tar only");
    this.#entryCount++;
    this.#compare(listed, entry);
    if (entry.kind !== "file") return;
    this.#current = entry;
    this.#data.begin(entry.size);
    this.#position = 0;
    this.#extentIndex = 0;
  }

  contents(bytes: Uint8Array): void {
    if (this.#table !== undefined) return this.#table.update(bytes);
    const file = this.#current;
    if (file === undefined) return;
    if (file.extents === undefined) {
      this.#data.update(bytes, file.path);
      this.#position += bytes.length;
      return;
    }
    for (let at = 0; at < bytes.length;) {
      const extent = file.extents[this.#extentIndex];
      if (extent === undefined) return;
      if (this.#position < extent.offset) this.#skipHole(file, extent.offset);
      const part = bytes.subarray(at, at + extent.offset + extent.length - this.#position);
      this.#data.update(part, file.path);
      this.#position += part.length;
      at += part.length;
      if (this.#position === extent.offset + extent.length) this.#extentIndex++;
    }
  }

  finish(): TocVerification {
    this.#endFile();
    const missing = this.#toc.entries[this.#entryCount];
    if (missing !== undefined) throw mismatch(missing.path, "it is in the table only");
    return {
      entryCount: this.#entryCount,
      chunkCount: this.#toc.chunks.length,
      inexactNames: this.#inexactNames,
      inexactTimes: this.#inexactTimes,
    };
  }

  #skipHole(file: LayerEntry, end: number): void {
    while (this.#position < end) {
      const part = ZEROS.subarray(0, end - this.#position);
      this.#data.update(part, file.path);
      this.#position += part.length;
    }
  }

  #endFile(): void {
    const file = this.#current;
    if (file !== undefined) this.#skipHole(file, file.size);
    this.#current = undefined;
    const table = this.#table?.digest();
    this.#table = undefined;
    if (table !== undefined && table !== this.#toc.digest) {
      throw mismatch(TOC_NAME, `the table in the tar is ${table}, not ${this.#toc.digest}`);
    }
  }

  #compare(listed: LayerEntry, actual: LayerEntry): void {
    const names = [isName(listed.path, actual.path), isName(listed.linkTarget, actual.linkTarget)];
    if (names[0] === undefined) throw mismatch(actual.path, `the table has "${displayPath(listed.path)}" there`);
    const { path } = actual;
    if (names[1] === undefined) throw mismatch(path, "the link targets differ");
    for (const field of ["kind", "mode", "uid", "gid", "deviceMajor", "deviceMinor"] as const) {
      if (listed[field] !== actual[field]) {
        throw mismatch(path, `its ${field} is ${listed[field]} in the table, ${actual[field]} in the tar`);
      }
    }
    if (listed.kind === "file" && listed.size !== actual.size) {
      throw mismatch(path, `its size is ${listed.size} in the table, ${actual.size} in the tar`);
    }
    names.push(areXattrs(listed, actual));
    if (names[2] === undefined) throw mismatch(path, "the extended attributes differ");
    if (names.includes("inexact")) this.#inexactNames++;
    const time = isTime(listed, actual);
    if (time === undefined) throw mismatch(path, "the times differ");
    if (time === "inexact") this.#inexactTimes++;
  }
}

/** Hashes files' data chunk by chunk. */
class ChunkComparison {
  readonly #chunks: readonly TocChunk[];
  #index = 0;
  #filled = 0;
  #chunk: Digester | undefined;
  #file: Digester | undefined;

  constructor(chunks: readonly TocChunk[]) {
    this.#chunks = chunks;
  }

  /** Begins a file. The digest of a whole one stands on its last chunk; every writer takes sha256. */
  begin(size: number): void {
    const first = this.#chunks[this.#index];
    this.#file = first !== undefined && first.size < size ? createDigester() : undefined;
  }

  update(bytes: Uint8Array, path: string): void {
    for (let at = 0; at < bytes.length;) {
      const chunk = this.#chunks[this.#index];
      if (chunk === undefined) throw mismatch(path, "it has data that no chunk has");
      this.#chunk ??= createDigester(digestAlgorithm(chunk.digest));
      const part = bytes.subarray(at, at + chunk.size - this.#filled);
      this.#chunk.update(part);
      this.#file?.update(part);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === chunk.size) this.#endChunk(chunk, path);
    }
  }

  #endChunk(chunk: TocChunk, path: string): void {
    const digest: Digest | undefined = this.#chunk?.digest();
    if (digest !== chunk.digest) {
      throw mismatch(
        path,
        `its chunk at byte ${chunk.contentOffset} of the contents is ${digest}, not ${chunk.digest}`,
      );
    }
    this.#chunk = undefined;
    this.#filled = 0;
    this.#index++;
    if (chunk.fileDigest === undefined) return;
    const whole = this.#file?.digest();
    if (whole !== chunk.fileDigest) throw mismatch(path, `its digest is ${whole}, not ${chunk.fileDigest}`);
  }
}

type Agreement = "exact" | "inexact" | undefined;

function isName(listed: string, actual: string): Agreement {
  if (listed === actual) return "exact";
  return !isText(actual) && listed === byteString(lossyText(actual)) ? "inexact" : undefined;
}

function areXattrs(listed: LayerEntry, actual: LayerEntry): Agreement {
  if (listed.xattrs.size !== actual.xattrs.size) return undefined;
  let agreement: Agreement = "exact";
  for (const [name, value] of actual.xattrs) {
    const other = listed.xattrs.get(name) ?? listed.xattrs.get(byteString(lossyText(name)));
    if (other?.length !== value.length || !value.every((byte, at) => byte === other[at])) return undefined;
    if (!listed.xattrs.has(name)) agreement = "inexact";
  }
  return agreement;
}

/** Go gives times rounded to the second, and none for that of zero. */
function isTime(listed: LayerEntry, actual: LayerEntry): Agreement {
  const isSame = (seconds: number): boolean => listed.mtimeSeconds === seconds;
  if (isSame(actual.mtimeSeconds) && listed.mtimeNanoseconds === actual.mtimeNanoseconds) return "exact";
  if (listed.mtimeNanoseconds !== 0) return undefined;
  const rounded = actual.mtimeSeconds + (actual.mtimeNanoseconds >= 5e8 ? 1 : 0);
  return isSame(rounded) || (isSame(0) && actual.mtimeSeconds === 0) ? "inexact" : undefined;
}

function mismatch(path: string, rule: string): LayerFormatError {
  return new LayerFormatError("toc_mismatch", `cannot verify layer entry "${displayPath(path)}": ${rule}`);
}
