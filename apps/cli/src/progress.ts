import type { LayerProgress } from "@lamella/image-store";
import { MultiBar } from "cli-progress";
import type { SingleBar } from "cli-progress";

import type { GlobalOptions } from "./options.js";
import { formatSize } from "./size.js";

const LINE_INTERVAL_MS = 10_000;

/** Shows on stderr how a piece of work goes on: bars on a terminal, a line each ten seconds elsewhere, or JSON lines. */
export interface ProgressDisplay {
  layer(event: LayerProgress): void;
  /** A pass over all data before a disk is written. */
  plan(doneBytes: number, totalBytes: number): void;
  disk(doneBytes: number, totalBytes: number): void;
  unpack(doneBytes: number, totalBytes: number): void;
  stop(): void;
}

export function showProgress(options: GlobalOptions, title: string): ProgressDisplay {
  if (options.progress === false || (options.quiet && options.progress !== "json")) return fromTotals(() => undefined);
  if (options.progress === "json") return jsonLines();
  return process.stderr.isTTY ? bars() : slowLines(title);
}

function jsonLines(): ProgressDisplay {
  const line = (event: object): void => void process.stderr.write(`${JSON.stringify(event)}\n`);
  return {
    layer: (event) => line({ phase: "pull", ...event }),
    plan: (doneBytes, totalBytes) => line({ phase: "plan", doneBytes, totalBytes }),
    disk: (doneBytes, totalBytes) => line({ phase: "disk", doneBytes, totalBytes }),
    unpack: (doneBytes, totalBytes) => line({ phase: "unpack", doneBytes, totalBytes }),
    stop: () => undefined,
  };
}

function slowLines(title: string): ProgressDisplay {
  let next = Date.now() + LINE_INTERVAL_MS;
  return fromTotals((done, total) => {
    if (Date.now() < next) return;
    next = Date.now() + LINE_INTERVAL_MS;
    process.stderr.write(`${title}: ${formatSize(done)} of ${formatSize(total)}\n`);
  });
}

/** One number out of many layers. */
function fromTotals(show: (doneBytes: number, totalBytes: number) => void): ProgressDisplay {
  const layers = new Map<string, LayerProgress>();
  return {
    layer(event) {
      layers.set(event.layer, event);
      const events = [...layers.values()];
      show(
        events.reduce((sum, { doneBytes }) => sum + doneBytes, 0),
        events.reduce((sum, { totalBytes }) => sum + totalBytes, 0),
      );
    },
    plan: show,
    disk: show,
    unpack: show,
    stop: () => undefined,
  };
}

function bars(): ProgressDisplay {
  const multi = new MultiBar({
    format: "{name} [{bar}] {percentage}% {size}",
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    noTTYOutput: false,
    stream: process.stderr,
  });
  const byName = new Map<string, SingleBar>();
  function update(name: string, done: number, total: number): void {
    let bar = byName.get(name);
    if (bar === undefined) {
      bar = multi.create(Math.max(total, 1), 0, { name, size: formatSize(total) });
      byName.set(name, bar);
    }
    bar.update(Math.min(done, total));
  }
  return {
    layer: ({ layer, doneBytes, totalBytes }) =>
      update(layer.slice("sha256:".length, "sha256:".length + 12), doneBytes, totalBytes),
    plan: (doneBytes, totalBytes) => update("plan".padEnd(12), doneBytes, totalBytes),
    disk: (doneBytes, totalBytes) => update("disk".padEnd(12), doneBytes, totalBytes),
    unpack: (doneBytes, totalBytes) => update("unpack".padEnd(12), doneBytes, totalBytes),
    stop: () => multi.stop(),
  };
}
