import { LOCATION_FORMS } from "@lamella/image-store";
import { formatPlatform, quote } from "@lamella/refs";
import { Command } from "commander";

import { withImage } from "../documents.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult, table } from "../output.js";
import { formatSize } from "../size.js";

export function inspectCommand(): Command {
  const command = new Command("inspect").argument("<source>", LOCATION_FORMS).action(inspect);
  return addGlobalOptions(command);
}

async function inspect(source: string, options: GlobalOptions): Promise<void> {
  await withImage(source, options, async ({ root, image }) => {
    const { descriptor, manifest, config, layers } = await image(options.platform);
    const platform = formatPlatform(config);
    const sizeBytes = layers.reduce((sum, layer) => sum + layer.descriptor.size, 0);
    const { created, config: run } = config;
    const { annotations = {} } = manifest;
    printResult(options, process.stdout, {
      json: {
        digest: root.digest,
        manifest: descriptor.digest,
        mediaType: descriptor.mediaType,
        platform,
        created,
        sizeBytes,
        layers: layers.map(({ descriptor: layer, diffID }) => ({
          mediaType: layer.mediaType,
          digest: layer.digest,
          diffID,
          sizeBytes: layer.size,
        })),
        config: run,
        annotations,
      },
      text: () =>
        table([
          ["digest", root.digest],
          ["manifest", descriptor.digest],
          ["platform", quote(platform)],
          ["created", quote(created ?? "")],
          ["size", `${formatSize(sizeBytes)} in ${layers.length} layers`],
          ["entrypoint", (run.entrypoint ?? []).map(quote).join(" ")],
          ["command", (run.cmd ?? []).map(quote).join(" ")],
          ["user", quote(run.user ?? "")],
          ["directory", quote(run.workingDir ?? "")],
          ...(run.env ?? []).map((variable) => ["environment", quote(variable)]),
          ...Object.entries(run.labels ?? {}).map(([key, value]) => ["label", quote(`${key}=${value}`)]),
          ...layers.map(({ descriptor: layer }) => ["layer", `${layer.digest}  ${formatSize(layer.size)}`]),
        ]),
    });
  });
}
