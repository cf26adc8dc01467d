import type { ListedImage } from "@lamella/image-store";
import { familiarReference, formatPlatform, parseReference } from "@lamella/refs";
import { Command, Option } from "commander";

import { addGlobalOptions, chosenPlatform } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult, table } from "../output.js";
import { withStore } from "../store-session.js";
import { formatSize } from "../size.js";

export function imagesCommand(): Command {
  const command = new Command("images")
    .argument("[image...]", "only these: names, digests, or the first 7 or more digits of those")
    .addOption(
      new Option("--scope <scope>", "only names that you gave, or only those of registries").choices([
        "local",
        "registry",
      ]),
    )
    .option("--full", "show digests whole", false)
    .action(images);
  return addGlobalOptions(command);
}

interface ImagesOptions extends GlobalOptions {
  scope?: "local" | "registry";
  full: boolean;
}

async function images(texts: readonly string[], options: ImagesOptions, command: Command): Promise<void> {
  await withStore(options, async (store, signal) => {
    const platform = chosenPlatform(command);
    const found: ListedImage[] = [];
    if (texts.length === 0) {
      for await (const image of store.list({ scope: options.scope, platform }, { signal })) found.push(image);
    }
    for (const text of texts) found.push(await store.get(text, { platform, signal }));
    const rows = found.flatMap((image) =>
      (image.names.length > 0 ? image.names : [undefined]).map((name) => ({ image, name })),
    );
    rows.sort((a, b) => compare(a.name ?? "", b.name ?? "") || compare(a.image.manifestDigest, b.image.manifestDigest));
    printResult(options, process.stdout, {
      json: found.map((image) => ({
        names: image.names,
        digest: image.digest,
        manifest: image.manifestDigest,
        platform: formatPlatform(image.platform),
        sizeBytes: image.sizeBytes,
        created: image.created,
        createdAt: image.createdAt.toISOString(),
      })),
      text: () =>
        table([
          ["NAME", "DIGEST", "PLATFORM", "SIZE", "STORED"],
          ...rows.map(({ image, name }) => [
            name === undefined ? "-" : shortName(name),
            options.full ? image.digest : shortDigest(image.digest),
            formatPlatform(image.platform),
            formatSize(image.sizeBytes),
            image.createdAt.toISOString().slice(0, 16).replace("T", " "),
          ]),
        ]),
    });
  });
}

const SHORT_HEX = 12;

function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, SHORT_HEX);
}

/** As people write it. A name of the store may be any text. */
function shortName(name: string): string {
  try {
    return familiarReference(parseReference(name));
  } catch {
    return name;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
