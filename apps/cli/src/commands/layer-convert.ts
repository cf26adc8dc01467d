import { byteString, displayPath } from "@lamella/layer-format";
import { checkTar, createLayerFile, decompress, packTar, writeEstargz } from "@lamella/layer-format/node";
import type { LayerFile, LayerOutput, PackedLayer, WrittenEstargz } from "@lamella/layer-format/node";
import { LamellaError } from "@lamella/refs";
import { Command, InvalidArgumentError, Option } from "commander";

import { withInterruption } from "../interruption.js";
import { openInput } from "../layer-input.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult, table } from "../output.js";
import { formatSize, parseSize } from "../size.js";

const FORMS = ["tar", "gzip", "zstd", "estargz"] as const;

interface EstargzFlags {
  chunkSize?: number;
  prioritize?: string[];
  externalToc?: string;
}

interface ConvertOptions extends GlobalOptions, EstargzFlags {
  output: string;
  to: (typeof FORMS)[number];
  level?: number;
}

export function layerConvertCommand(): Command {
  const command = new Command("convert")
    .description("write a layer in another form; but for estargz its tar, and so its diffID, stays as it is")
    .argument("<file>", "a layer's blob: tar, gzip or zstd")
    .requiredOption("-o, --output <file>", "the blob to write")
    .addOption(new Option("--to <form>", "what to write").choices(FORMS).makeOptionMandatory())
    .addOption(new Option("--level <number>", "gzip, estargz: 1 to 9; zstd: 1 to 22").argParser(parseLevel))
    .addOption(new Option("--chunk-size <bytes>", "estargz: the most data in a chunk, as 4M").argParser(parseSize))
    .option("--prioritize <path...>", "estargz: files that are wanted first, in this order")
    .option("--external-toc <file>", "estargz: write the table of contents there instead of into the layer")
    .action(convert);
  return addGlobalOptions(command);
}

async function convert(path: string, options: ConvertOptions): Promise<void> {
  checkFlags(options);
  await withInterruption(async (signal) => {
    await using file = await openInput(path, { signal });
    await using output = await createLayerFile(options.output);
    if (options.to === "estargz") {
      await convertToEstargz(file, output, { options, signal });
      return;
    }
    const tar = checkTar(decompress(file.chunks({ signal }), { signal }), { signal });
    const compression = options.to === "tar" ? "none" : options.to;
    const packed = await packTar(tar, output, { compression, level: options.level, signal });
    await output.commit();
    print(options, packed);
  });
}

async function convertToEstargz(
  file: LayerFile,
  output: LayerOutput & { commit(): Promise<void> },
  { options, signal }: { options: ConvertOptions; signal: AbortSignal },
): Promise<void> {
  const { chunkSize, prioritize = [], externalToc, level } = options;
  const written = await writeEstargz(decompress(file.chunks({ signal }), { signal }), output, {
    chunkSize,
    compressionLevel: level,
    prioritizedFiles: prioritize.map((path) => byteString(path.replace(/^\/+/, ""))),
    externalToc: externalToc !== undefined,
    signal,
  });
  if (externalToc !== undefined && written.externalToc !== undefined) {
    await using table = await createLayerFile(externalToc);
    await table.write(written.externalToc);
    await table.commit();
  }
  await output.commit();
  for (const missing of written.missingFiles) note(options, `warning: the layer has no file ${displayPath(missing)}`);
  print(options, written);
}

function print(options: ConvertOptions, written: PackedLayer | WrittenEstargz): void {
  const { output } = options;
  const { mediaType, digest, diffID, size, uncompressedSize } = written;
  const toc = "tocDigest" in written ? { tocDigest: written.tocDigest, annotations: written.annotations } : {};
  printResult(options, process.stdout, {
    json: { output, mediaType, digest, diffID, size, uncompressedSize, ...toc },
    text: () =>
      table([
        ["file", output],
        ["digest", digest],
        ["diffID", diffID],
        ["media type", mediaType],
        ["size", `${formatSize(size)}, ${formatSize(uncompressedSize)} as tar`],
        ...("tocDigest" in toc ? [["table of contents", toc.tocDigest]] : []),
      ]),
  });
}

/** @throws {LamellaError} `option_invalid` for a flag that the form has no use for: none is silently ignored */
function checkFlags(options: ConvertOptions): void {
  const { to, level } = options;
  const refuse = (flag: string, rule: string): never => {
    throw new LamellaError("option_invalid", `cannot use ${flag} for ${to}: ${rule}`);
  };
  const flags: Readonly<Record<string, unknown>> = {
    "--chunk-size": options.chunkSize,
    "--prioritize": options.prioritize,
    "--external-toc": options.externalToc,
  };
  if (to !== "estargz") {
    for (const [flag, value] of Object.entries(flags))
      if (value !== undefined) refuse(flag, "only estargz has such a thing");
  }
  const most = { tar: 0, gzip: 9, zstd: 22, estargz: 9 }[to];
  if (level !== undefined && level > most)
    refuse("--level", most === 0 ? "it is not compressed" : `the greatest is ${most}`);
  if (options.externalToc !== undefined && options.externalToc === options.output)
    refuse("--external-toc", "it is the output itself");
  if (options.chunkSize !== undefined && !(options.chunkSize >= 1 && options.chunkSize <= 64 * 2 ** 20))
    refuse("--chunk-size", "not from 1 to 64 MiB");
}

function parseLevel(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a whole number from 1");
}
