import { createLayerReader, mergeLayers, writeTar } from "@lamella/layer-format";
import type { FileTree, Layer, LayerEntry, LayeredTree, TarInput } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import { digestOf } from "@lamella/refs";

import { diffTrees } from "../src/diff/diff-trees.js";
import type { DiffOptions } from "../src/diff/diff-trees.js";

/** The tar of the layer that makes one tree of another. */
export function diffTar(lower: FileTree, upper: FileTree, options?: DiffOptions): Promise<Buffer> {
  return bytesOf(writeTar(diffTrees(lower, upper, options)));
}

/** A line an entry: `+` for what comes, `=` and the target of a hard link, `-` for a whiteout, `!` for an opaque directory. */
export async function diffLines(
  before: MemoryTreeSpec,
  after: MemoryTreeSpec,
  options?: DiffOptions,
): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of diffTrees(memoryTree(before), memoryTree(after), options)) lines.push(lineOf(entry));
  return lines;
}

function lineOf({ kind, path, linkTarget, mode }: TarInput): string {
  if (kind === "whiteout") return `- ${path}`;
  if (kind === "opaque") return `! ${path}`;
  if (kind === "hardlink") return `= ${path} ${linkTarget}`;
  return kind === "directory" ? `+ ${path}/ ${mode.toString(8)}` : `+ ${path}`;
}

/** What the tars make, the lowest first; each is read as a layer of an image is. */
export function mergeTars(tars: readonly Uint8Array[]): Promise<LayeredTree> {
  return mergeLayers(tars.map(layerOf));
}

/** A layer whose tar is in memory. */
export function layerOf(tar: Uint8Array): Layer {
  const entries: LayerEntry[] = [];
  const contents: Buffer[] = [];
  const reader = createLayerReader({
    entry: (entry) => entries.push(entry),
    contents: (bytes) => contents.push(Buffer.from(bytes)),
  });
  reader.push(tar);
  reader.end();
  const all = Buffer.concat(contents);
  return {
    diffID: digestOf(tar),
    entries,
    async *readContents(offset, length) {
      yield all.subarray(offset, offset + length);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of chunks) copies.push(Buffer.from(chunk));
  return Buffer.concat(copies);
}
