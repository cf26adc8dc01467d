import { existsSync } from "node:fs";

import { openBlobCache } from "@lamella/lazy-layer";
import type { CallOptions } from "@lamella/refs";
import { Command } from "commander";

import { blobCacheDirectory } from "../lazy-source.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult, table } from "../output.js";
import { withStore } from "../store-session.js";
import { formatSize } from "../size.js";

export function dfCommand(): Command {
  return addGlobalOptions(new Command("df").action(df));
}

async function df(options: GlobalOptions): Promise<void> {
  await withStore(options, async (store, signal) => {
    const usage = await store.usage({ signal });
    const names = new Map<string, readonly string[]>();
    for await (const image of store.list({}, { signal })) {
      names.set(image.manifestDigest, [...(names.get(image.manifestDigest) ?? []), ...image.names]);
    }
    const images = usage.images.map((image) => ({ ...image, names: names.get(image.manifestDigest) ?? [] }));
    const { imageBytes, diskBytes } = usage;
    const lazyBytes = await usedByLazyReads(options.root, { signal });
    printResult(options, process.stdout, {
      json: { images, imageBytes, diskBytes, lazyBytes },
      text: () =>
        table([
          ["IMAGE", "SIZE", "SHARED", "UNIQUE"],
          ...images.map(({ names: [name], manifestDigest, sizeBytes, sharedBytes, uniqueBytes }) => [
            name ?? manifestDigest,
            ...[sizeBytes, sharedBytes, uniqueBytes].map(formatSize),
          ]),
          ["all images", formatSize(imageBytes), "", ""],
          ["disks", formatSize(diskBytes), "", ""],
          ["read lazily", formatSize(lazyBytes), "", ""],
        ]),
    });
  });
}

async function usedByLazyReads(root: string, call: CallOptions): Promise<number> {
  const directory = blobCacheDirectory(root);
  if (!existsSync(directory)) return 0;
  return (await openBlobCache(directory, call)).usedBytes(call);
}
