import { Option } from "commander";
import type { Command } from "commander";

import { formatDuration, parseDuration } from "./duration.js";
import { withLazyTree, withPulledTree } from "./lazy-source.js";
import type { LazyOptions, OpenedTree } from "./lazy-source.js";
import type { GlobalOptions } from "./options.js";
import { note } from "./output.js";
import { formatSize, parseSize } from "./size.js";

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CACHE_BYTES = 16 * 2 ** 30;

/** Of what serves a tree. */
export interface ServingOptions extends LazyOptions {
  readonly lazy: boolean;
  /** In milliseconds. */
  readonly timeout: number;
}

export function addServingOptions(command: Command): Command {
  return command
    .option("--lazy", "read an image's layers in the registry as they are asked for, and do not pull it", false)
    .addOption(
      new Option("--cache-size <bytes>", "with --lazy: what is kept beside the store of all that was read so, as 20G")
        .argParser(parseSize)
        .env("LAMELLA_CACHE_SIZE")
        .default(DEFAULT_CACHE_BYTES, formatSize(DEFAULT_CACHE_BYTES)),
    )
    .addOption(
      new Option("--timeout <time>", "how long one read may take before it fails, as 30s or 5m")
        .argParser(parseDuration)
        .default(DEFAULT_TIMEOUT_MS, formatDuration(DEFAULT_TIMEOUT_MS)),
    );
}

/** Opens what is to be served: pulled, or with `lazy` as it lies in its registry. */
export async function withServedTree(
  source: string,
  options: ServingOptions,
  serve: (opened: OpenedTree) => Promise<void>,
): Promise<void> {
  return options.lazy ? withLazyTree(source, options, serve) : withPulledTree(source, options, serve);
}

/** Warns of what clients run into; of what comes again and again once. */
export function warnOnce(options: GlobalOptions): (text: string) => void {
  let last = "";
  return (text) => {
    if (text !== last) note(options, `warning: ${text}`);
    last = text;
  };
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
