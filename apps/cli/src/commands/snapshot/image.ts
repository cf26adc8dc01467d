import { LOCATION_FORMS, openDestination, readImage } from "@lamella/image-store";
import type { RegistryClient } from "@lamella/oci-client";
import type { CallOptions, RunConfig } from "@lamella/refs";
import type { Snapshotter } from "@lamella/snapshot";
import { commitImage, type ImageBase } from "@lamella/snapshot/node";
import { Command, Option } from "commander";

import { note, printResult, table } from "../../output.js";
import { withRegistries } from "../../registry-session.js";
import { formatSize } from "../../size.js";
import { findImage, requireSameImage } from "../../snapshot-image.js";
import { addSnapshotOptions, type SnapshotCommandOptions, withOpenSnapshots } from "../../snapshot-session.js";
import { sourceDateEpoch } from "../../source-date.js";
import { withSource } from "../../source-session.js";

interface ImageOptions extends SnapshotCommandOptions {
  base?: string;
  scratch: boolean;
  compression: "none" | "gzip" | "zstd";
  cmd?: string[];
  entrypoint?: string[];
  env?: string[];
  user?: string;
  workdir?: string;
  author?: string;
  message?: string;
}

export function snapshotImageCommand(): Command {
  const command = new Command("image")
    .description("make an image of a snapshot: the layers of the one that it was prepared on, and one more")
    .argument("<name>", "the snapshot: a key or a name")
    .argument("<destination>", LOCATION_FORMS)
    .addOption(
      new Option("--base <source>", "the image below, which was unpacked here; default: what prepare --image was told"),
    )
    .addOption(
      new Option("--scratch", "no image below: one layer of all that there is").default(false).conflicts("base"),
    )
    .addOption(
      new Option("--compression <how>", "how the layer is packed").choices(["none", "gzip", "zstd"]).default("gzip"),
    )
    .optionsGroup("How the image runs, where not as the one below:")
    .option("--cmd <argument...>", "the command")
    .option("--entrypoint <argument...>", "what the command is given to")
    .option("--env <name=value...>", "variables, besides those that there are")
    .option("--user <user>", "who runs it")
    .option("--workdir <directory>", "where it runs")
    .option("--author <text>", "who made the image")
    .option("--message <text>", "a comment in the history")
    .optionsGroup("Options:")
    .addHelpText(
      "after",
      "\nSOURCE_DATE_EPOCH is when the image was made, and the latest time that a file of the layer has.",
    )
    .action(makeImage);
  return addSnapshotOptions(command);
}

async function makeImage(name: string, to: string, options: ImageOptions): Promise<void> {
  const epoch = sourceDateEpoch(process.env);
  await withRegistries(options, ({ client, signal }) =>
    withOpenSnapshots(options, { signal }, (snapshotter) =>
      withBase(snapshotter, name, { options, client, signal }, async (base) => {
        const destination = await openDestination(to, client, { signal });
        try {
          const made = await commitImage(snapshotter, name, destination.images, {
            base,
            platform: options.platform,
            run: runOf(options),
            sourceDateEpoch: epoch,
            signal,
            compression: options.compression,
            author: options.author,
            comment: options.message,
            createdBy: "lamella snapshot image",
          });
          const { bytes, descriptor } = made.manifest;
          const { mediaType, digest } = descriptor;
          const named = destination.name === "" ? digest : destination.name;
          await destination.images.pushManifest(named, { bytes, mediaType }, { signal });
          await destination.commit({ signal });
          print(to, made, options);
        } finally {
          await destination.close();
        }
      }),
    ),
  );
}

interface BaseSearch extends CallOptions {
  readonly options: ImageOptions;
  readonly client: RegistryClient;
}

async function withBase(
  snapshotter: Snapshotter,
  name: string,
  { options, client, signal }: BaseSearch,
  use: (base: ImageBase | undefined) => Promise<void>,
): Promise<void> {
  const { base, scratch, root } = options;
  const remembered = base === undefined && !scratch ? await findImage(snapshotter, name, { signal }) : undefined;
  const text = base ?? remembered?.source;
  if (text === undefined) return use(undefined);
  const platform = remembered?.platform ?? options.platform;
  await withSource(text, { client, root, signal }, async ({ images, name: target }) => {
    const image = await readImage(images, await images.resolve(target, { signal }), { platform, signal });
    if (remembered !== undefined) requireSameImage(remembered, image.descriptor.digest);
    await use({ images, descriptor: image.descriptor });
  });
}

function runOf({ cmd, entrypoint, env, user, workdir }: ImageOptions): RunConfig {
  return {
    ...(cmd !== undefined && { cmd }),
    ...(entrypoint !== undefined && { entrypoint }),
    ...(env !== undefined && { env }),
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { workingDir: workdir }),
  };
}

function print(to: string, made: Awaited<ReturnType<typeof commitImage>>, options: ImageOptions): void {
  const { manifest, config, layer } = made;
  const { mediaType, digest } = manifest.descriptor;
  if (layer !== undefined && layer.omittedSockets > 0)
    note(options, `warning: left out ${layer.omittedSockets} sockets, which no layer can hold`);
  printResult(options, process.stdout, {
    json: { destination: to, digest, mediaType, config: config.descriptor.digest, layer },
    text: () =>
      table([
        ["image", to],
        ["digest", digest],
        ["layer", layer === undefined ? "none: nothing has changed" : `${layer.digest}, ${formatSize(layer.size)}`],
      ]),
  });
}
