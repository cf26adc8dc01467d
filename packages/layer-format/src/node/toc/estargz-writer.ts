import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { type CallOptions, createDigester, type Digest, digestOf, OCI_LAYER_GZIP } from "@lamella/refs";

import { createMemberCutter, type MemberCutter, type MemberParts } from "../../toc/estargz-members.js";
import { isLandmark, orderEntries } from "../../toc/estargz-order.js";
import type { Layer, LayerEntry } from "../../layer.js";
import type { LayerLimits } from "../../limits.js";
import { type TarInput, writeTar } from "../../tar/writer.js";
import { encodeFooter } from "../../toc/footer.js";
import { LANDMARK_CONTENTS, TOC_DIGEST_ANNOTATION, TOC_NAME, UNCOMPRESSED_SIZE_ANNOTATION } from "../../toc/layout.js";
import { NO_XATTRS } from "../../merge/inode.js";
import { openLayer } from "../archive/reader.js";
import { writeLayer } from "../archive/writer.js";
import type { LayerOutput, PackedLayer } from "../blob/layer-pack.js";

export interface WriteEstargzOptions extends CallOptions {
  /** Bytes of data of one chunk, 1 to 64 MiB; 4 MiB by default. */
  chunkSize?: number | undefined;
  /**
   * Bytes of the tar that a gzip member holds before the next file begins one, up to 64 MiB: fewer and larger members, which readers before
   * stargz-snapshotter 0.13 do not know. 0 by default: a member for every chunk.
   */
  minChunkSize?: number | undefined;
  /** Paths, as byte strings, of files that are wanted first, in the order in which they are. */
  prioritizedFiles?: readonly string[] | undefined;
  /** zlib's, 0 to 9; 6 by default. */
  compressionLevel?: number | undefined;
  /** Leave the table of contents out of the blob: it is given in the result. */
  externalToc?: boolean | undefined;
}

export interface WriteEstargzTarOptions extends WriteEstargzOptions {
  limits?: Partial<LayerLimits> | undefined;
  /** Where the unpacked layer is spooled; the system's directory for temporary files by default. */
  temporaryDirectory?: string | undefined;
}

/** A layer that was written, as a descriptor with the annotations that lazy readers need. */
export interface WrittenEstargz extends PackedLayer {
  readonly annotations: Readonly<Record<string, string>>;
  readonly tocDigest: Digest;
  /** The blob with the table, where it is not in the layer. */
  readonly externalToc?: Uint8Array;
  /** Prioritised files that the layer does not have. */
  readonly missingFiles: readonly string[];
}

const DEFAULT_CHUNK_BYTES = 4 * 2 ** 20;
const MAX_CHUNK_BYTES = 64 * 2 ** 20;
const END_BYTES = 1024;
/** Members that are compressed at a time: as many as libuv has threads. Their order, and so the blob, does not depend on it. */
const MEMBERS_AT_A_TIME = 4;
/** The header of a gzip member: the byte for the operating system, which zlib fills in, and the value for none in particular. */
const SYSTEM_AT = 9;
const NO_SYSTEM = 255;
const ZEROS = new Uint8Array(256 * 1024);

const compress = promisify<Uint8Array, { level: number }, Buffer>(gzip);

/**
 * Writes a layer as eStargz (stargz-snapshotter, docs/estargz.md): a gzip layer as any other to who does not know better, and one whose files
 * can be read one by one to who does.
 *
 * The tar is written anew, as `writeTar` does it: what a layer means is kept, exactly, while owners' names, access times, unknown records
 * and the odd ways of saying things that readers disagree about are not. Sparse files become plain ones, since chunks are of a file's
 * data with its holes. Names that are not UTF-8 stay as they are in the tar; the table has them exactly in a key of our own.
 *
 * The same entries and options make the same bytes on every machine with one version of zlib, whatever the number of its cores.
 * In memory are the entries, the table, and four chunks.
 *
 * @throws {LayerFormatError} `layer_invalid` for a hard link to what the layer does not hold before it; `layer_limit` if the table has
 * over 50 MiB.
 * @throws {RangeError} for a chunk size or level that cannot be. Errors of the layer and of the output pass as they are.
 */
export async function packEstargz(
  layer: Pick<Layer, "entries" | "readContents">,
  output: LayerOutput,
  options: WriteEstargzOptions = {},
): Promise<WrittenEstargz> {
  const { signal, chunkSize = DEFAULT_CHUNK_BYTES, minChunkSize = 0, compressionLevel: level = 6 } = options;
  signal?.throwIfAborted();
  checkWhole("chunk size", chunkSize, 1, MAX_CHUNK_BYTES);
  checkWhole("least chunk size", minChunkSize, 0, MAX_CHUNK_BYTES);
  checkWhole("compression level", level, 0, 9);
  const { entries, missingFiles } = orderEntries(layer.entries, options.prioritizedFiles ?? []);
  const plain = entries.map(withoutExtents);
  const cutter = createMemberCutter(plain, { chunkSize, minChunkSize });
  const writer = new MemberWriter(output, level, signal);
  for await (const tar of writeTar(tarInputs(layer, entries), { signal })) {
    cutter.push(tar);
    await writer.write(cutter.take());
  }
  return { ...(await finish(cutter, writer, options)), missingFiles };
}

/**
 * As {@link packEstargz}, from a tar of any kind, compressed no more. It is read once and spooled, as a layer archive in a temporary
 * directory that is removed at the end: prioritised files and later entries of the same name need all of it.
 *
 * @throws as {@link packEstargz} does, and what the tar's reader refuses.
 */
export async function writeEstargz(
  tar: AsyncIterable<Uint8Array>,
  output: LayerOutput,
  options: WriteEstargzTarOptions = {},
): Promise<WrittenEstargz> {
  const { signal, limits = {}, temporaryDirectory = tmpdir() } = options;
  signal?.throwIfAborted();
  const spool = await mkdtemp(join(temporaryDirectory, "lamella-estargz-"));
  try {
    const directory = join(spool, "layer");
    await writeLayer(directory, tar, { limits, ...(signal === undefined ? {} : { signal }) });
    await using layer = await openLayer(directory, { signal });
    return await packEstargz(layer, output, options);
  } finally {
    await rm(spool, { recursive: true, force: true });
  }
}

async function finish(
  cutter: MemberCutter,
  writer: MemberWriter,
  { externalToc = false, signal }: WriteEstargzOptions,
): Promise<Omit<WrittenEstargz, "missingFiles">> {
  cutter.finish();
  const members = cutter.take();
  await writer.write(externalToc ? [...members, { parts: [new Uint8Array(END_BYTES)], length: END_BYTES }] : members);
  await writer.drain();
  const json = cutter.table(writer.offsets);
  const tocDigest = digestOf(json);
  const toc = await tocMember(json);
  const tocOffset = writer.size;
  if (!externalToc) await writer.write([toc]);
  await writer.drain();
  await writer.append(encodeFooter(externalToc ? undefined : tocOffset));
  signal?.throwIfAborted();
  const result = writer.result();
  return {
    mediaType: OCI_LAYER_GZIP,
    ...result,
    tocDigest,
    annotations: {
      [TOC_DIGEST_ANNOTATION]: tocDigest,
      [UNCOMPRESSED_SIZE_ANNOTATION]: String(result.uncompressedSize),
    },
    ...(externalToc ? { externalToc: await writer.compress(toc) } : {}),
  };
}

/** Compresses members side by side and writes them in order. */
class MemberWriter {
  /** Where each member begins in the blob. */
  readonly offsets: number[] = [];
  readonly #output: LayerOutput;
  readonly #level: number;
  readonly #signal: AbortSignal | undefined;
  readonly #blob = createDigester();
  readonly #tar = createDigester();
  #waiting: Promise<Uint8Array>[] = [];
  #tarBytes = 0;
  size = 0;

  constructor(output: LayerOutput, level: number, signal: AbortSignal | undefined) {
    this.#output = output;
    this.#level = level;
    this.#signal = signal;
  }

  async write(members: readonly MemberParts[]): Promise<void> {
    for (const member of members) {
      for (const part of member.parts) this.#tar.update(part);
      this.#tarBytes += member.length;
      const compressed = this.compress(member);
      // It is awaited later, after others that may fail first.
      compressed.catch(() => undefined);
      this.#waiting.push(compressed);
      if (this.#waiting.length >= MEMBERS_AT_A_TIME) await this.#writeNext();
    }
  }

  async drain(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeNext();
  }

  async compress({ parts, length }: MemberParts): Promise<Uint8Array> {
    const compressed = await compress(Buffer.concat(parts, length), { level: this.#level });
    compressed[SYSTEM_AT] = NO_SYSTEM;
    return compressed;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#blob.update(bytes);
    this.size += bytes.length;
    await this.#output.write(bytes);
  }

  result(): { digest: Digest; size: number; diffID: Digest; uncompressedSize: number } {
    return {
      digest: this.#blob.digest(),
      size: this.size,
      diffID: this.#tar.digest(),
      uncompressedSize: this.#tarBytes,
    };
  }

  async #writeNext(): Promise<void> {
    const member = await this.#waiting[0];
    void this.#waiting.shift();
    if (member === undefined) return;
    this.offsets.push(this.size);
    await this.append(member);
  }
}

async function* tarInputs(
  layer: Pick<Layer, "readContents">,
  entries: readonly LayerEntry[],
): AsyncGenerator<TarInput> {
  for (const entry of entries) {
    const contents = isLandmark(entry) ? landmarkContents : (call: CallOptions) => fileContents(layer, entry, call);
    yield { ...withoutExtents(entry), contents };
  }
}

function withoutExtents(entry: LayerEntry): LayerEntry {
  if (entry.extents === undefined) return entry;
  const { extents: _, ...plain } = entry;
  return plain;
}

async function* landmarkContents(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(LANDMARK_CONTENTS);
}

/** A file's data, its holes as zeros. */
async function* fileContents(
  layer: Pick<Layer, "readContents">,
  entry: LayerEntry,
  call: CallOptions,
): AsyncGenerator<Uint8Array> {
  let position = 0;
  let stored = entry.contentOffset;
  for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }]) {
    yield* zeros(offset - position);
    yield* layer.readContents(stored, length, call);
    stored += length;
    position = offset + length;
  }
  yield* zeros(entry.size - position);
}

function* zeros(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left);
}

/** The table as the tar's last entry, and the tar's end. */
async function tocMember(json: Uint8Array): Promise<MemberParts> {
  const entry: TarInput = {
    path: TOC_NAME,
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: NO_XATTRS,
    size: json.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contents: () => one(json),
  };
  const parts: Uint8Array[] = [];
  for await (const part of writeTar(one(entry))) parts.push(part);
  return { parts, length: parts.reduce((sum, part) => sum + part.length, 0) };
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

function checkWhole(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`cannot write eStargz: the ${what} is not a whole number from ${least} to ${most}`);
}
