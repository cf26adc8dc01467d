import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { crc32 } from "node:zlib";

import { LayerFormatError } from "@lamella/layer-format";
import { openLayer, readLayer, verifyLayer, writeLayer } from "@lamella/layer-format/node";

import { layerStack } from "./layer-stack.js";
import { BYTE_MUTATIONS, mutate } from "./mutate.js";
import { Disagreement, type FuzzTarget } from "./target.js";

const SEEDS = 12;
const FILES = ["idx", "contents"] as const;
const PAGE_BYTES = 4096;
const PAYLOAD_BYTES = PAGE_BYTES - 4;
const LENGTH_BYTES = 4;

/** A layer archive on disk: whatever its bytes, it is read or refused, and what verifies can be read. */
export const archiveTarget: FuzzTarget = {
  name: "archive",
  seeds: (seed) =>
    Promise.all(
      layerStack({ seed, layers: SEEDS, stacks: 4, changes: 9 }).map((tar) =>
        withDirectory((directory) => archive(directory, tar)),
      ),
    ),
  mutate(input, random, other) {
    const [index, contents] = unframe(input);
    const changed = mutate(index, BYTE_MUTATIONS, random, unframe(other)[0]);
    // A wrong checksum is found first: most of what lies behind it is reached only by right ones.
    if (!random.once(4)) fixPages(changed);
    return frame(changed, random.once(5) ? mutate(contents, BYTE_MUTATIONS, random, other) : contents);
  },
  run: (input) =>
    withDirectory(async (work) => {
      const files = unframe(input);
      await Promise.all(FILES.map((name, index) => writeFile(join(work, name), files[index] ?? "")));
      const verified = await refusable(() => verifyLayer(work));
      const opened = await refusable(() => entriesOf(work));
      const read = await refusable(() => readAll(work));
      if (verified !== undefined && (opened === undefined || read === undefined))
        throw new Disagreement(opened, read, "it verifies, but cannot be read");
      if (opened !== undefined && read !== undefined && !isDeepStrictEqual(opened, read))
        throw new Disagreement(opened, read, "two readers differ");
      return verified !== undefined;
    }),
};

/** Undefined where the archive is refused. */
async function refusable<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LayerFormatError) return undefined;
    throw error;
  }
}

async function entriesOf(directory: string): Promise<unknown[]> {
  await using layer = await openLayer(directory);
  return layer.entries.map(({ path, kind, mode, size }) => ({ path, kind, mode, size }));
}

/** Looks every entry up and reads every file. */
async function readAll(directory: string): Promise<unknown[]> {
  await using layer = await readLayer(directory);
  const entries: unknown[] = [];
  for await (const entry of layer.entries()) {
    const { path, kind, mode, size } = entry;
    entries.push({ path, kind, mode, size });
    await layer.lookup(path);
    if (kind === "file" && size < 1 << 20) for await (const _ of layer.readFile(entry));
  }
  return entries;
}

async function archive(work: string, tar: Uint8Array): Promise<Buffer> {
  const directory = join(work, "layer");
  await writeLayer(directory, one(tar));
  const [index, contents] = await Promise.all(FILES.map((name) => readFile(join(directory, name))));
  return frame(index ?? Buffer.alloc(0), contents ?? Buffer.alloc(0));
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function frame(index: Uint8Array, contents: Uint8Array): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(index.length);
  return Buffer.concat([length, index, contents]);
}

function unframe(input: Uint8Array): [index: Uint8Array, contents: Uint8Array] {
  const bytes = Buffer.from(input);
  const end = bytes.length < LENGTH_BYTES ? 0 : LENGTH_BYTES + bytes.readUInt32LE(0);
  return [bytes.subarray(LENGTH_BYTES, end), bytes.subarray(Math.max(LENGTH_BYTES, end))];
}

function fixPages(index: Buffer): void {
  for (let page = 0; (page + 1) * PAGE_BYTES <= index.length; page++) {
    const at = page * PAGE_BYTES;
    index.writeUInt32LE(crc32(index.subarray(at, at + PAYLOAD_BYTES), page), at + PAYLOAD_BYTES);
  }
}

async function withDirectory<Value>(use: (directory: string) => Promise<Value>): Promise<Value> {
  const directory = await mkdtemp(join(tmpdir(), "lamella-fuzz-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
