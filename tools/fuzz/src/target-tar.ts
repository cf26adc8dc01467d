import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";

import { LayerFormatError, type LayerLimits, type TarInput, writeTar } from "@lamella/layer-format";

import { mutateTar } from "./mutate-tar.js";
import { cut, readTar, type TarReading } from "./read-tar.js";
import { encodeTar, generatedTar } from "./tar-arbitrary.js";
import { Disagreement, type FuzzTarget } from "./target.js";

/** Small enough that no input takes long, and that passing them happens. */
const LIMITS: Partial<LayerLimits> = { fileBytes: 2 ** 22, entries: 1000, metadataBytes: 2 ** 20, extents: 200 };
const SEEDS = 200;

/** The tar reader: any cutting of the input gives the same, and what it takes can be written and read again. */
export const tarTarget: FuzzTarget = {
  name: "tar",
  seeds: (seed) => Promise.resolve(fc.sample(generatedTar, { numRuns: SEEDS, seed }).map(encodeTar)),
  mutate: mutateTar,
  async run(input) {
    const whole = readTar([input], { limits: LIMITS, keepContents: true });
    const sizes = [1 + (input.length % 700), 1 + ((input[0] ?? 0) % 97)];
    const pieces = readTar(cut(input, sizes), { limits: LIMITS, keepContents: true });
    if (!isDeepStrictEqual(whole, pieces))
      throw new Disagreement(whole, pieces, `cut into ${sizes.join()} it reads otherwise`);
    if (whole.refusal !== undefined) return false;
    await rewrite(whole);
    return true;
  },
};

/** Writes what was read, and reads that. */
async function rewrite(reading: TarReading): Promise<void> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of writeTar(inputs(reading))) chunks.push(chunk);
  } catch (error) {
    // Some of what may be read cannot be written, and says so.
    if (error instanceof LayerFormatError && error.code === "layer_invalid") return;
    throw error;
  }
  const again = readTar(chunks, { limits: LIMITS });
  const [before, after] = [described(reading), described(again)];
  if (!isDeepStrictEqual(before, after)) throw new Disagreement(before, after, "written and read again it differs");
}

async function* inputs(reading: TarReading): AsyncGenerator<TarInput> {
  for (const { entry, contents } of reading.entries) {
    yield { ...entry, contents: () => pieces(contents) };
  }
}

async function* pieces(contents: Uint8Array): AsyncGenerator<Uint8Array> {
  yield contents;
}

/** All but where the data lies: written, a sparse file's ranges are aligned. */
function described({ entries, refusal }: TarReading): unknown {
  if (refusal !== undefined) return refusal;
  return entries.map(({ entry: { contentOffset: _contentOffset, extents: _extents, ...entry }, sha256 }) => ({
    ...entry,
    sha256,
  }));
}
