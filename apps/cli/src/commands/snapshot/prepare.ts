import { layerDirectory, LOCATION_FORMS } from "@lamella/image-store";
import { LamellaError } from "@lamella/refs";
import type { Applier, Labels, Mount, Snapshotter } from "@lamella/snapshot";
import { applyLayers, createApplier } from "@lamella/snapshot/node";
import { Command } from "commander";

import { printResult } from "../../output.js";
import { withSession } from "../../session.js";
import { imageLabels } from "../../snapshot-image.js";
import {
  addLabelOption,
  addSnapshotOptions,
  type LabelOptions,
  mountLine,
  type SnapshotCommandOptions,
  withOpenSnapshots,
  withSnapshots,
} from "../../snapshot-session.js";

interface PrepareOptions extends SnapshotCommandOptions, LabelOptions {
  image?: string;
}

type Kind = "prepare" | "view";

export function snapshotPrepareCommand(): Command {
  return createCommand("prepare", "make an active snapshot, and print its mounts");
}

export function snapshotViewCommand(): Command {
  return createCommand("view", "make a snapshot that is only read, and print its mounts");
}

function createCommand(kind: Kind, description: string): Command {
  const command = new Command(kind)
    .description(description)
    .argument("<key>", "what it is named by; anything")
    .argument("[parent]", "the committed snapshot that it is on; default: nothing")
    .option("--image <source>", `put it on the layers of an image, unpacked once: ${LOCATION_FORMS}`)
    .action((key: string, parent: string | undefined, options: PrepareOptions) => run(kind, { key, parent }, options));
  return addSnapshotOptions(addLabelOption(command));
}

async function run(
  kind: Kind,
  { key, parent }: { key: string; parent: string | undefined },
  options: PrepareOptions,
): Promise<void> {
  const { image: source, label: labels } = options;
  if (source === undefined) {
    await withSnapshots(options, (snapshotter, signal) =>
      make(snapshotter, { kind, key, parent, labels, signal, options }),
    );
    return;
  }
  if (parent !== undefined)
    throw new LamellaError("option_invalid", "cannot use --image with a parent: the image is the parent");
  await withSession(options, ({ withImage, signal }) =>
    withImage(source, async ({ image, store: { content }, reference }) => {
      const applier: Applier = {
        ...createApplier(content),
        archive: async (diffID) => layerDirectory(content, diffID),
      };
      await withOpenSnapshots(options, { signal }, async (snapshotter) => {
        const top =
          image.layers.length === 0 ? undefined : await applyLayers(image.layers, snapshotter, applier, { signal });
        const remembered = imageLabels(reference ?? source, { image, platform: options.platform });
        await make(snapshotter, { kind, key, parent: top, labels: { ...remembered, ...labels }, signal, options });
      });
    }),
  );
}

interface Making {
  readonly kind: Kind;
  readonly key: string;
  readonly parent: string | undefined;
  readonly labels: Labels;
  readonly signal: AbortSignal;
  readonly options: SnapshotCommandOptions;
}

async function make(snapshotter: Snapshotter, making: Making): Promise<void> {
  const { kind, key, parent, labels, signal, options } = making;
  const mounts: readonly Mount[] = await snapshotter[kind](key, parent, { labels, signal });
  printResult(options, process.stdout, {
    json: { key, parent, mounts },
    text: () => mounts.map((mount) => mountLine(mount, key)).join(""),
  });
}
