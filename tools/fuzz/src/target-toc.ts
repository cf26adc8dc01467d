import { isDeepStrictEqual } from "node:util";
import { gunzipSync, gzipSync } from "node:zlib";

import { LayerFormatError, type LayerToc, mergeLayers } from "@lamella/layer-format";
import { readToc, writeEstargz } from "@lamella/layer-format/node";
import { type Descriptor, digestOf, type RangeFetcher, RefsError } from "@lamella/refs";

import { layerStack } from "./layer-stack.js";
import { BYTE_MUTATIONS, mutate, type Mutation } from "./mutate.js";
import { cut } from "./read-tar.js";
import { Disagreement, type FuzzTarget } from "./target.js";
import { headerBlock, octal, padded } from "./tar-bytes.js";

const SEEDS = 6;
const OPEN_BRACE = 0x7b;
/** What a table of contents may think to be before it in the blob. */
const DATA_BYTES = 1 << 16;
const VALUES = [
  "0",
  "-1",
  "1e3",
  "9007199254740993",
  '""',
  '"../x"',
  '"a"',
  "null",
  "true",
  "[]",
  "{}",
  '"sha256:00"',
  "4194304",
];
const KEYS = [
  "name",
  "type",
  "size",
  "offset",
  "innerOffset",
  "chunkOffset",
  "chunkSize",
  "linkName",
  "__proto__",
  "xattrs",
  "mode",
];

const setValue: Mutation = (bytes, random) => {
  const text = bytes.toString("latin1");
  const values = [...text.matchAll(/:("[^"]*"|-?\d+)/g)];
  const value = values.length === 0 ? undefined : random.pick(values);
  if (value === undefined) return bytes;
  const at = value.index + 1;
  return Buffer.from(text.slice(0, at) + random.pick(VALUES) + text.slice(at + value[0].length - 1), "latin1");
};

const setKey: Mutation = (bytes, random) => {
  const text = bytes.toString("latin1");
  const keys = [...text.matchAll(/"(\w+)":/g)];
  const key = keys.length === 0 ? undefined : random.pick(keys);
  if (key === undefined) return bytes;
  return Buffer.from(
    `${text.slice(0, key.index)}"${random.pick(KEYS)}":${text.slice(key.index + key[0].length)}`,
    "latin1",
  );
};

const repeatEntry: Mutation = (bytes, random) => {
  const text = bytes.toString("latin1");
  const entries = text.split("},{");
  entries.splice(random.below(entries.length), random.below(2), random.pick(entries));
  return Buffer.from(entries.join("},{"), "latin1");
};

/** The table of contents of a lazy layer: as JSON, in a sound wrapping, or as a whole blob. */
export const tocTarget: FuzzTarget = {
  name: "toc",
  async seeds(seed) {
    const tars = layerStack({ seed, layers: SEEDS, stacks: 2, changes: 6 });
    const blobs = await Promise.all(tars.map((tar) => estargz(tar)));
    const tables = await Promise.all(tars.map((tar) => tableOf(tar)));
    return [...blobs, ...tables];
  },
  mutate(input, random, other) {
    const isJson = input[0] === OPEN_BRACE;
    return mutate(
      input,
      isJson ? [...BYTE_MUTATIONS, setValue, setValue, setKey, setKey, repeatEntry] : BYTE_MUTATIONS,
      random,
      other,
    );
  },
  async run(input) {
    const blob = input[0] === OPEN_BRACE ? wrap(input) : input;
    const whole = await outcome(blob, [blob.length]);
    const pieces = await outcome(blob, [7, 1000]);
    if (!isDeepStrictEqual(whole, pieces))
      throw new Disagreement(whole, pieces, "fetched in pieces it reads otherwise");
    if (whole === undefined || "code" in whole) return false;
    await merge(whole);
    return true;
  },
};

type Outcome = LayerToc | { readonly code: string; readonly message: string } | undefined;

async function outcome(blob: Uint8Array, sizes: readonly number[]): Promise<Outcome> {
  const source: RangeFetcher = {
    async *fetchRange(_, { offset, length }) {
      yield* cut(blob.subarray(offset, offset + length), sizes);
    },
  };
  const descriptor: Descriptor = {
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: digestOf(new Uint8Array()),
    size: blob.length,
  };
  try {
    return await readToc(source, descriptor);
  } catch (error) {
    if (!(error instanceof LayerFormatError || error instanceof RefsError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** What a table says may still be no tree, and that is said in the same way. */
async function merge({ entries }: LayerToc): Promise<void> {
  const layer = {
    diffID: digestOf(new Uint8Array()),
    entries,
    async *readContents(): AsyncGenerator<Uint8Array> {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  try {
    await mergeLayers([layer]);
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
  }
}

async function estargz(tar: Uint8Array): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  await writeEstargz(
    one(tar),
    { write: (chunk) => Promise.resolve(chunks.push(new Uint8Array(chunk))) },
    { chunkSize: 64 },
  );
  return Buffer.concat(chunks);
}

/** The JSON of a layer's table: the one file of the tar that is made of it. */
async function tableOf(tar: Uint8Array): Promise<Uint8Array> {
  const nowhere = { write: () => Promise.resolve() };
  const { externalToc = new Uint8Array() } = await writeEstargz(one(tar), nowhere, {
    chunkSize: 64,
    externalToc: true,
  });
  const table = gunzipSync(externalToc);
  const size = Number.parseInt(table.toString("latin1", 124, 135), 8);
  return table.subarray(512, 512 + size);
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** An eStargz blob with this table: its data is zeros, its footer is right. */
function wrap(json: Uint8Array): Buffer {
  const header = headerBlock({ format: "ustar", type: "0", name: "stargz.index.json", size: octal(json.length, 12) });
  const table = gzipSync(Buffer.concat([header, padded(json), Buffer.alloc(1024)]));
  const offset = DATA_BYTES.toString(16).padStart(16, "0");
  const footer = Buffer.concat([
    Buffer.from("1f8b08040000000000ff1a0053471600", "hex"),
    Buffer.from(`${offset}STARGZ`, "latin1"),
    Buffer.from("010000ffff0000000000000000", "hex"),
  ]);
  return Buffer.concat([Buffer.alloc(DATA_BYTES), table, footer]);
}
