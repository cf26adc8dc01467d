import * as zlib from "node:zlib";
import * as fc from "fast-check";

import { LayerFormatError } from "@lamella/layer-format";
import { decompress, type DecompressLimits } from "@lamella/layer-format/node";

import { BYTE_MUTATIONS, mutate } from "./mutate.js";
import { mutateTar } from "./mutate-tar.js";
import { cut } from "./read-tar.js";
import { encodeTar, generatedTar } from "./tar-arbitrary.js";
import { Disagreement, type FuzzTarget } from "./target.js";
import { compressedZstdFrame, storedZstdFrame, skippableZstdFrame } from "./zstd-frame.js";

const LIMITS: Partial<DecompressLimits> = {
  outputBytes: 2 ** 22,
  ratio: 300,
  ratioFreeBytes: 2 ** 20,
  windowBytes: 2 ** 23,
};
const SEEDS = 20;
const GZIP_FLAGS = { extra: 4, name: 8, comment: 16 } as const;

/** The front that inflates: any cutting of the input gives the same bytes, or the same refusal. */
export const compressionTarget: FuzzTarget = {
  name: "compression",
  seeds(seed) {
    const tars = fc.sample(generatedTar, { numRuns: SEEDS, seed }).map(encodeTar);
    const gzip = tars.map((tar, index) => zlib.gzipSync(tar, { level: index % 10 }));
    const [first = Buffer.alloc(0), second = first] = gzip;
    return Promise.resolve([
      ...gzip,
      Buffer.concat([first, second]),
      gzipWithFields(first),
      ...tars.slice(0, 8).map((tar, index) => storedZstdFrame(tar, { single: index % 2 === 0, rle: index % 3 === 0 })),
      compressedZstdFrame,
      Buffer.concat([
        skippableZstdFrame(first.subarray(0, 30)),
        compressedZstdFrame,
        storedZstdFrame(second, { single: true, rle: true }),
      ]),
      tars[0] ?? Buffer.alloc(512),
    ]);
  },
  mutate(input, random, other) {
    if (input[0] === 0x1f && random.once(3)) {
      const tar = tryGunzip(input);
      if (tar !== undefined) return zlib.gzipSync(mutateTar(tar, random, other), { level: random.below(10) });
    }
    return mutate(input, BYTE_MUTATIONS, random, other);
  },
  async run(input) {
    const whole = await outcome([input]);
    const sizes = [1 + (input.length % 300), 1 + ((input[4] ?? 0) % 53)];
    const pieces = await outcome(cut(input, sizes));
    const same =
      "code" in whole && "code" in pieces
        ? whole.code === pieces.code
        : "bytes" in whole && "bytes" in pieces && whole.bytes.equals(pieces.bytes);
    if (!same)
      throw new Disagreement(summary(whole), summary(pieces), `cut into ${sizes.join()} it inflates otherwise`);
    return "bytes" in whole;
  },
};

type Outcome = { readonly bytes: Buffer } | { readonly code: string; readonly message: string };

async function outcome(chunks: Iterable<Uint8Array>): Promise<Outcome> {
  const output: Uint8Array[] = [];
  try {
    for await (const chunk of decompress(each(chunks), { limits: LIMITS })) output.push(new Uint8Array(chunk));
    return { bytes: Buffer.concat(output) };
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
    return { code: error.code, message: error.message };
  }
}

async function* each(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

function summary(result: Outcome): unknown {
  return "bytes" in result ? { byteCount: result.bytes.length } : result;
}

function tryGunzip(input: Uint8Array): Buffer | undefined {
  try {
    return zlib.gunzipSync(input, { maxOutputLength: 2 ** 20 });
  } catch {
    return undefined;
  }
}

/** The same member with every optional field in its header (RFC 1952, 2.3). */
function gzipWithFields(member: Uint8Array): Buffer {
  const { extra, name, comment } = GZIP_FLAGS;
  const head = Buffer.from(member.subarray(0, 10));
  head[3] = extra | name | comment;
  const fields = Buffer.from("\x04\x00\x41\x42\x00\x00name\0comment\0", "latin1");
  return Buffer.concat([head, fields, member.subarray(10)]);
}
