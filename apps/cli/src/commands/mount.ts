import { mountTree, STATE_FILE_NAME } from "@lamella/fuse";
import type { FuseMount } from "@lamella/fuse";
import { TREE_FORMS } from "@lamella/image-store";
import { displayPath } from "@lamella/layer-format";
import type { LazyBlob } from "@lamella/lazy-layer";
import { Command } from "commander";

import { messageOf } from "../error-message.js";
import type { OpenedTree } from "../lazy-source.js";
import { addTreeOptions } from "../options.js";
import { note, printResult } from "../output.js";
import { addServingOptions, untilAborted, warnOnce, withServedTree } from "../serving.js";
import type { ServingOptions } from "../serving.js";
import { formatSize } from "../size.js";

interface MountOptions extends ServingOptions {
  allowOther: boolean;
}

export function mountCommand(): Command {
  const command = new Command("mount")
    .argument("<source>", TREE_FORMS)
    .argument("<directory>", "an existing one")
    .option("--allow-other", "other users may look into it too", false)
    .addHelpText(
      "after",
      `\nIt is mounted read-only until Ctrl-C, SIGTERM or umount(8). With --lazy, ${STATE_FILE_NAME} in its root, which no listing has, tells how much of each layer is here.` +
        "\nWithout root: unshare --map-root-user --mount, and mount in there, where this user may open /dev/fuse.",
    )
    .action(mount);
  return addTreeOptions(addServingOptions(command));
}

async function mount(source: string, directory: string, options: MountOptions): Promise<void> {
  await withServedTree(source, options, (opened) => serveUntilUnmounted(opened, { source, directory, options }));
}

interface Asked {
  readonly source: string;
  readonly directory: string;
  readonly options: MountOptions;
}

async function serveUntilUnmounted(opened: OpenedTree, { source, directory, options }: Asked): Promise<void> {
  const { tree, layers, signal } = opened;
  const image = opened.image?.descriptor.digest;
  const warn = warnOnce(options);
  const stateFile = (): object => ({ image, layers: layers.map(describeLayer) });
  await using mounted = await mountTree(tree, directory, {
    allowOther: options.allowOther,
    timeoutMs: options.timeout,
    name: source,
    ...(layers.length > 0 && { stateFile }),
    onReadError: (error, path) => warn(`cannot read /${displayPath(path)}: ${messageOf(error)}`),
    signal,
  });
  printResult(options, process.stdout, {
    json: { directory: mounted.directory, entries: tree.entryCount, image, pid: process.pid },
    text: () => `${mounted.directory}\n`,
  });
  await Promise.race([untilAborted(signal), mounted.done]);
  const how = await mounted.unmount();
  if (how === "detached") note(options, `warning: ${directory} was still in use: what is open there fails from now on`);
  printServed(mounted, options);
}

function describeLayer(layer: LazyBlob): object {
  const { digest, size, fetchedSize, prefetchSize, readTime, error } = layer.info();
  const words = error === undefined ? undefined : messageOf(error);
  return { digest, size, fetchedSize, prefetchSize, readTime, error: words };
}

/** What it came to, when it ends: a second line of JSON, or a note. */
function printServed(mounted: FuseMount, options: MountOptions): void {
  const stats = mounted.stats();
  const { requests, readBytes, failedReads } = stats;
  if (options.json) printResult(options, process.stdout, { json: stats, text: () => "" });
  else note(options, `served ${formatSize(readBytes)} in ${requests} requests; ${failedReads} reads failed`);
}
