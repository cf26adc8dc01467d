import type { CallOptions } from "@lamella/refs";
import { type Pack, pack } from "tar-stream";

import type { LayerEntry } from "../layer.js";
import { encodePaxRecords, type PaxRecord } from "./pax-writer.js";
import { alignContents } from "./sparse-writer.js";
import { planEntry, type TarPlan, type TarUse, unwritable } from "./plan.js";

/** An entry to write. */
export interface TarInput extends Omit<LayerEntry, "contentOffset"> {
  /** A file's data: `size` bytes, or of a sparse file those of its extents, without the holes. Nothing for other kinds. */
  contents?(options: CallOptions): AsyncIterable<Uint8Array>;
}

/** Below this, output waits for more: headers come in blocks of 512 bytes. */
const CHUNK_BYTES = 1 << 16;

/**
 * Writes a layer's tar, the same bytes for the same entries: ustar headers, with PAX records for what does not fit them (names
 * that are long or not ASCII, large owners, finer or odd times, extended attributes as `SCHILY.xattr.`), sparse files in
 * GNU's PAX format 1.0, whiteouts as the OCI image specification names them (layer.md). No owner names, no access times.
 *
 * Entries are taken, and contents read, only as the output is. Chunks stay valid.
 *
 * @throws {LayerFormatError} `layer_invalid` for an entry that no layer's tar can hold (a socket, a file named `.wh.x`, a device
 * number over 262,143) and for contents that are not as long as promised.
 */
export function writeTar(entries: AsyncIterable<TarInput>, options: CallOptions = {}): AsyncGenerator<Uint8Array> {
  return writeTarFor("layer", entries, options);
}

/** As {@link writeTar}, for another use. */
export async function* writeTarFor(
  use: TarUse,
  entries: AsyncIterable<TarInput>,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  options.signal?.throwIfAborted();
  const tar = pack();
  const output = createOutput(tar);
  try {
    for await (const entry of entries) {
      options.signal?.throwIfAborted();
      const plan = planEntry(entry, use);
      if (plan.records.length > 0) await addPaxHeader(tar, plan.records);
      if (plan.header.type === "file") yield* addFile(tar, output, plan, entry, options);
      else await addHeader(tar, plan);
      if (output.bytes() >= CHUNK_BYTES) yield output.take();
    }
    tar.finalize();
    await output.ended;
    if (output.bytes() > 0) yield output.take();
  } finally {
    tar.destroy();
  }
}

interface Output {
  /** How many bytes wait. */
  bytes(): number;
  take(): Uint8Array;
  readonly ended: Promise<void>;
}

/** Takes everything as it is packed: what is packed at a time is the writer's to bound, not the stream's. */
function createOutput(tar: Pack): Output {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  tar.on("data", (data) => {
    const chunk = data as Uint8Array;
    waiting.push(chunk);
    bytes += chunk.length;
  });
  tar.on("error", () => undefined);
  const ended = new Promise<void>((resolve) => void tar.on("end", resolve));
  return {
    bytes: () => bytes,
    take() {
      const chunk = concatenate(waiting, bytes);
      waiting = [];
      bytes = 0;
      return chunk;
    },
    ended,
  };
}

function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function addHeader(tar: Pack, { header }: TarPlan): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ ...header }, (error) => settle(error, resolve, reject));
  });
}

function addPaxHeader(tar: Pack, records: readonly PaxRecord[]): Promise<void> {
  const body = encodePaxRecords(records);
  const header = { name: "PaxHeader", type: "file" as const, mode: 0o644, mtime: new Date(0), size: body.length };
  return new Promise((resolve, reject) => {
    const opened = tar.entry(header, (error) => settle(error, resolve, reject));
    // tar-stream gives a body to files only, and encodes the header when the entry opens, in a later turn.
    Object.assign(header, { type: "pax-header" });
    opened.end(body);
  });
}

async function* addFile(
  tar: Pack,
  output: Output,
  plan: TarPlan,
  entry: TarInput,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const file = openFile(tar, plan);
  const { sparse } = plan;
  if (sparse !== undefined) await file.write(sparse.map);
  const contents = readContents(entry, plan.dataBytes, options);
  for await (const chunk of sparse === undefined ? contents : alignContents(contents, sparse)) {
    // A copy: contents may reuse their buffer, and output waits.
    await file.write(new Uint8Array(chunk));
    if (output.bytes() >= CHUNK_BYTES) yield output.take();
  }
  await file.end();
}

/** An entry's contents, checked for the length that its header promises. */
async function* readContents(entry: TarInput, dataBytes: number, options: CallOptions): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  if (dataBytes > 0) {
    for await (const chunk of entry.contents?.(options) ?? []) {
      options.signal?.throwIfAborted();
      bytes += chunk.length;
      if (bytes > dataBytes) throw unwritable(entry, `its contents have more than ${dataBytes} bytes`);
      yield chunk;
    }
  }
  if (bytes < dataBytes) throw unwritable(entry, `its contents have ${bytes} of ${dataBytes} bytes`);
}

interface OpenFile {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

function openFile(tar: Pack, { header }: TarPlan): OpenFile {
  let failed: Error | undefined;
  let finish: (() => void) | undefined;
  const sink = tar.entry({ ...header }, (error) => {
    failed = error ?? undefined;
    finish?.();
  });
  sink.on("error", () => undefined);
  return {
    write(bytes) {
      if (sink.write(bytes)) return Promise.resolve();
      return new Promise((resolve) => void sink.once("drain", resolve));
    },
    async end() {
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      sink.end(null);
      await finished;
      if (failed !== undefined) throw failed;
    },
  };
}

function settle(error: Error | null | undefined, resolve: () => void, reject: (error: Error) => void): void {
  if (error) reject(error);
  else resolve();
}
