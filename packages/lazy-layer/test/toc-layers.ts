import { gunzipSync, gzipSync } from "node:zlib";

import { writeTar } from "@lamella/layer-format";
import { packEstargz, type WriteEstargzOptions } from "@lamella/layer-format/node";
import { memoryLayer, type MemoryLayerSpec } from "@lamella/layer-format/testing";
import { type Digest, digestOf } from "@lamella/refs";

import { bytesOf } from "./memory-source.js";

export type LayerForm = "estargz" | "zstd:chunked" | "external TOC";
export const LAYER_FORMS: readonly LayerForm[] = ["estargz", "zstd:chunked", "external TOC"];

/** A layer's blob, and what is said of it elsewhere. */
export interface MadeLayer {
  readonly bytes: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
  readonly diffID: Digest;
  readonly tocDigest: Digest;
  readonly tar: Buffer;
  /** The blob with the table, where it is not in the layer. */
  readonly externalToc: Uint8Array | undefined;
  /** Where the table says that files' data is. */
  readonly table: Table;
}

export interface TableEntry {
  name: string;
  type: string;
  offset?: number;
  [field: string]: unknown;
}

export interface Table {
  version: number;
  entries: TableEntry[];
}

export interface MakeLayerOptions extends Pick<WriteEstargzOptions, "chunkSize" | "minChunkSize" | "prioritizedFiles"> {
  /** Without a landmark the layer does not tell what is wanted first. */
  hasLandmark?: boolean;
  /** Makes the table say something else. */
  edit?: (table: Table) => void;
}

const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";
const CHUNKED = "io.containers.zstd-chunked.manifest";
const END = Buffer.alloc(1024);

/** The same layer in any of the forms that have a table of contents. */
export async function makeLayer(
  form: LayerForm,
  spec: MemoryLayerSpec,
  { hasLandmark = true, edit = () => {}, ...options }: MakeLayerOptions = {},
): Promise<MadeLayer> {
  const parts: Buffer[] = [];
  const write = (bytes: Uint8Array): Promise<void> => Promise.resolve(void parts.push(Buffer.from(bytes)));
  await packEstargz(memoryLayer(spec), { write }, options);
  const blob = Buffer.concat(parts);
  const tocOffset = Number.parseInt(blob.subarray(-35, -19).toString("latin1"), 16);
  const tocTar = gunzipSync(blob.subarray(tocOffset, -51));
  const table = JSON.parse(tocTar.subarray(512).toString().replace(/\0+$/, "")) as Table;
  if (!hasLandmark) table.entries = table.entries.filter(({ name }) => !name.includes("prefetch.landmark"));
  const members = blob.subarray(0, tocOffset);
  if (form === "zstd:chunked") return makeChunked(members, table, edit);
  edit(table);
  const json = Buffer.from(JSON.stringify(table));
  const packedTable = gzipSync(await tarOfTable(json));
  const isExternal = form === "external TOC";
  const bytes = Buffer.concat([
    members,
    isExternal ? gzipSync(END) : packedTable,
    footer(isExternal ? undefined : members.length),
  ]);
  const tar = gunzipSync(bytes);
  const tocDigest = digestOf(json);
  const annotations = { [TOC_DIGEST]: tocDigest };
  const externalToc = isExternal ? packedTable : undefined;
  return { bytes, annotations, tocDigest, tar, diffID: digestOf(tar), externalToc, table };
}

/** The frames of containers/storage around what the gzip members hold. */
function makeChunked(members: Buffer, table: Table, edit: (table: Table) => void): MadeLayer {
  const offsets = [0, ...table.entries.flatMap(({ offset }) => offset ?? [])].sort((one, other) => one - other);
  const frames: Buffer[] = [];
  const tars: Buffer[] = [];
  const moved = new Map<number, number>();
  let position = 0;
  const unique = [...new Set(offsets)];
  for (const [index, offset] of unique.entries()) {
    const tar = gunzipSync(members.subarray(offset, unique[index + 1] ?? members.length));
    const frame = zstdFrame(tar);
    moved.set(offset, position);
    position += frame.length;
    frames.push(frame);
    tars.push(tar);
  }
  frames.push(zstdFrame(END));
  tars.push(END);
  for (const entry of table.entries) if (entry.offset !== undefined) entry.offset = moved.get(entry.offset) ?? 0;
  edit(table);
  const json = Buffer.from(JSON.stringify(table));
  const data = Buffer.concat(frames);
  const packed = zstdFrame(json);
  const numbers = [data.length + 8, packed.length, json.length, 1];
  const end = Buffer.alloc(40);
  for (const [index, value] of numbers.entries()) end.writeBigUInt64LE(BigInt(value), 8 * index);
  end.write("GnUlInUx", 32, "latin1");
  const tar = Buffer.concat(tars);
  return {
    bytes: Buffer.concat([data, skippable(packed), skippable(end)]),
    annotations: { [`${CHUNKED}-checksum`]: digestOf(packed), [`${CHUNKED}-position`]: numbers.join(":") },
    tocDigest: digestOf(json),
    tar,
    diffID: digestOf(tar),
    externalToc: undefined,
    table,
  };
}

async function tarOfTable(json: Uint8Array): Promise<Buffer> {
  const entry = {
    path: "stargz.index.json",
    kind: "file" as const,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map<string, Uint8Array>(),
    size: json.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    async *contents() {
      yield json;
    },
  };
  return bytesOf(
    writeTar(
      (async function* () {
        yield entry;
      })(),
    ),
  );
}

/** The footer as estargz.md has it: 51 bytes, or 46 of a table that is elsewhere. */
export function footer(tocOffset: number | undefined): Buffer {
  const field = tocOffset === undefined ? "STARGZEXTERNALTOC" : `${tocOffset.toString(16).padStart(16, "0")}STARGZ`;
  const length = Buffer.from([field.length + 4, 0, 0x53, 0x47, field.length, 0]);
  const head = Buffer.from("1f8b08040000000000ff", "hex");
  return Buffer.concat([head, length, Buffer.from(field), Buffer.from("010000ffff0000000000000000", "hex")]);
}

function skippable(body: Buffer): Buffer {
  const head = Buffer.from("502a4d1800000000", "hex");
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
}

/** Bytes as they are, in raw blocks: Node 20 cannot compress (RFC 8878, section 3.1.1). */
function zstdFrame(bytes: Uint8Array): Buffer {
  const parts = [Buffer.from("28b52ffda0", "hex"), Buffer.alloc(4)];
  parts[1]?.writeUInt32LE(bytes.length);
  for (let at = 0; at === 0 || at < bytes.length; at += 65_536) {
    const block = bytes.subarray(at, at + 65_536);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (at + 65_536 >= bytes.length ? 1 : 0), 0, 3);
    parts.push(header, Buffer.from(block));
  }
  return Buffer.concat(parts);
}
