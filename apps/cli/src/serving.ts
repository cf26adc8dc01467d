import { Option } from "commander";

import { formatDuration, parseDuration } from "./duration.js";
import { withLazyTree } from "./lazy-source.js";
import type { OpenedTree } from "./lazy-source.js";
import type { GlobalOptions } from "./options.js";
import { note } from "./output.js";

const DEFAULT_TIMEOUT_MS = 30_000;

/** `--timeout` of what serves a tree. */
export function readTimeoutOption(): Option {
  return new Option("--timeout <time>", "how long one read may take before it fails, as 30s or 5m")
    .argParser(parseDuration)
    .default(DEFAULT_TIMEOUT_MS, formatDuration(DEFAULT_TIMEOUT_MS));
}

/** Opens what is to be served: pulled, or with `lazy` as it lies in its registry. */
export async function withServedTree(
  source: string,
  options: GlobalOptions & { readonly lazy: boolean },
  serve: (opened: OpenedTree) => Promise<void>,
): Promise<void> {
  if (options.lazy) return withLazyTree(source, options, serve);
  const { withSession } = await import("./session.js");
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, (tree, image) => serve({ tree, image, layers: [], signal })),
  );
}

/** Warns of what clients run into; of what comes again and again once. */
export function warnOnce(options: GlobalOptions): (text: string) => void {
  let last = "";
  return (text) => {
    if (text !== last) note(options, `warning: ${text}`);
    last = text;
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
