import { mountTree, STATE_FILE_NAME } from "@lamella/fuse";
import type { FuseMount } from "@lamella/fuse";
import { TREE_FORMS } from "@lamella/image-store";
import { displayPath } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import type { LazyBlob } from "@lamella/lazy-layer";
import { Command, Option } from "commander";

import { formatDuration, parseDuration } from "../duration.js";
import { withLazyTree } from "../lazy-source.js";
import { addTreeOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult } from "../output.js";
import { withSession } from "../session.js";
import { formatSize } from "../size.js";

const DEFAULT_TIMEOUT_MS = 30_000;

interface MountOptions extends GlobalOptions {
  lazy: boolean;
  allowOther: boolean;
  timeout: number;
}

/** What is to be mounted. */
interface Opened {
  readonly tree: FileTree;
  readonly image: string | undefined;
  readonly layers: readonly LazyBlob[];
  readonly signal: AbortSignal;
}

export function mountCommand(): Command {
  const command = new Command("mount")
    .argument("<source>", TREE_FORMS)
    .argument("<directory>", "an existing one")
    .option("--lazy", "read what a registry has piece by piece, as it is asked for, without pulling it", false)
    .option("--allow-other", "other users may look into it too", false)
    .addOption(
      new Option("--timeout <time>", "how long one read may take before it fails, as 30s or 5m")
        .argParser(parseDuration)
        .default(DEFAULT_TIMEOUT_MS, formatDuration(DEFAULT_TIMEOUT_MS)),
    )
    .addHelpText(
      "after",
      `\nIt is mounted read-only until Ctrl-C, SIGTERM or umount(8). With --lazy, ${STATE_FILE_NAME} in its root, which no listing has, tells how much of each layer is here.` +
        "\nWithout root: unshare --map-root-user --mount, and mount in there, where this user may open /dev/fuse.",
    )
    .action(mount);
  return addTreeOptions(command);
}

async function mount(source: string, directory: string, options: MountOptions): Promise<void> {
  const serve = (opened: Opened): Promise<void> => serveUntilUnmounted(opened, { source, directory, options });
  if (options.lazy) {
    await withLazyTree(source, options, ({ tree, image, layers, signal }) =>
      serve({ tree, image: image?.descriptor.digest, layers, signal }),
    );
    return;
  }
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, (tree, image) => serve({ tree, image: image?.descriptor.digest, layers: [], signal })),
  );
}

interface Asked {
  readonly source: string;
  readonly directory: string;
  readonly options: MountOptions;
}

async function serveUntilUnmounted(opened: Opened, { source, directory, options }: Asked): Promise<void> {
  const { tree, image, layers, signal } = opened;
  const stateFile = (): object => ({ image, layers: layers.map(describeLayer) });
  await using mounted = await mountTree(tree, directory, {
    allowOther: options.allowOther,
    timeoutMs: options.timeout,
    name: source,
    ...(layers.length > 0 && { stateFile }),
    onReadError: tellOnce(options),
    signal,
  });
  printResult(options, process.stdout, {
    json: { directory: mounted.directory, entries: tree.entryCount, image, pid: process.pid },
    text: () => `${mounted.directory}\n`,
  });
  await Promise.race([aborted(signal), mounted.done]);
  const how = await mounted.unmount();
  if (how === "detached") note(options, `warning: ${directory} was still in use: what is open there fails from now on`);
  printServed(mounted, options);
}

function describeLayer(layer: LazyBlob): object {
  const { digest, size, fetchedSize, prefetchSize, readTime, error } = layer.info();
  const words = error === undefined ? undefined : error instanceof Error ? error.message : "unknown";
  return { digest, size, fetchedSize, prefetchSize, readTime, error: words };
}

/** What it came to, when it ends: a second line of JSON, or a note. */
function printServed(mounted: FuseMount, options: MountOptions): void {
  const stats = mounted.stats();
  const { requests, readBytes, failedReads } = stats;
  if (options.json) printResult(options, process.stdout, { json: stats, text: () => "" });
  else note(options, `served ${formatSize(readBytes)} in ${requests} requests; ${failedReads} reads failed`);
}

/** What fails again and again is told of once. */
function tellOnce(options: GlobalOptions): (error: unknown, path: string) => void {
  let last = "";
  return (error, path) => {
    const text = `cannot read /${displayPath(path)}: ${error instanceof Error ? error.message : String(error)}`;
    if (text !== last) note(options, `warning: ${text}`);
    last = text;
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
