import type { LayerEntry } from "@lamella/layer-format";
import { checkLayerBlob } from "@lamella/layer-format/node";
import type { LayerSummary } from "@lamella/layer-format/node";
import { Command } from "commander";

import { entryJson, entryLine } from "../entry-format.js";
import { withInterruption } from "../interruption.js";
import { openInput } from "../layer-input.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { table, writeOut } from "../output.js";
import { formatSize } from "../size.js";

export function layerIndexCommand(): Command {
  const command = new Command("index")
    .description("list what a layer holds, in its order, whiteouts too, and its digests")
    .argument("<file>", "a layer's blob: tar, gzip or zstd")
    .action(index);
  return addGlobalOptions(command);
}

async function index(path: string, options: GlobalOptions): Promise<void> {
  await withInterruption(async (signal) => {
    await using file = await openInput(path, { signal });
    const format = options.json ? (entry: LayerEntry) => `${JSON.stringify(entryJson(entry))}\n` : entryLine;
    const onEntries = (entries: readonly LayerEntry[]): Promise<void> => writeOut(entries.map(format).join(""));
    const summary = await checkLayerBlob(file.chunks({ signal }), { onEntries, signal });
    await writeOut(options.json ? `${JSON.stringify({ kind: "layer", ...summary })}\n` : `\n${summaryTable(summary)}`);
  });
}

export function summaryTable(summary: LayerSummary, more: readonly (readonly string[])[] = []): string {
  const { digest, diffID, layerHash, compression, size, uncompressedSize, entryCount } = summary;
  return table([
    ["digest", digest],
    ["diffID", diffID],
    ["layer hash", layerHash],
    ["compression", compression],
    ["size", `${formatSize(size)}, ${formatSize(uncompressedSize)} as tar`],
    ["entries", `${entryCount}`],
    ...more,
  ]);
}
