import { verifyLayerBlob } from "@lamella/layer-format/node";
import type { Digest } from "@lamella/refs";
import { parseDigest } from "@lamella/refs";
import { Command, Option } from "commander";

import { withInterruption } from "../interruption.js";
import { openInput, readTocBlob } from "../layer-input.js";
import { addGlobalOptions, argument } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { summaryTable } from "./layer-index.js";

interface VerifyOptions extends GlobalOptions {
  tocDigest?: Digest;
  externalToc?: string;
}

export function layerVerifyCommand(): Command {
  const command = new Command("verify")
    .description("read a layer strictly to its end; of eStargz and zstd:chunked, prove the table of contents")
    .argument("<file>", "a layer's blob: tar, gzip or zstd")
    .addOption(
      new Option("--toc-digest <digest>", "what the table of contents must be").argParser(argument(parseDigest)),
    )
    .option("--external-toc <file>", "the blob with the table of a layer that has it elsewhere")
    .action(verify);
  return addGlobalOptions(command);
}

async function verify(path: string, options: VerifyOptions): Promise<void> {
  await withInterruption(async (signal) => {
    await using file = await openInput(path, { signal });
    const { tocDigest, externalToc: tocPath } = options;
    const externalToc = tocPath === undefined ? undefined : await readTocBlob(tocPath, { signal });
    const verified = await verifyLayerBlob(file, { tocDigest, externalToc, signal });
    const { toc } = verified;
    const rows =
      toc === undefined
        ? []
        : [
            ["table of contents", `${toc.format}, ${toc.chunkCount} chunks`],
            ["its digest", toc.digest],
          ];
    printResult(options, process.stdout, { json: verified, text: () => summaryTable(verified, rows) });
  });
}
