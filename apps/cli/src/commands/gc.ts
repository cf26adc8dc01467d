import { openSnapshotsThere } from "@lamella/image-store";
import type { GcReport, StoredFileKind } from "@lamella/image-store";
import { Command, Option } from "commander";

import { formatDuration, parseDuration } from "../duration.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { formatSize } from "../size.js";
import { withStore } from "../store-session.js";

export function gcCommand(): Command {
  const command = new Command("gc")
    .option("--dry-run", "remove nothing, and tell what would go", false)
    .addOption(
      new Option("--grace <time>", "leave what was written within this time, as 90s, 10m, 1h or 2d")
        .default(3_600_000, "1h")
        .argParser(parseDuration),
    )
    .action(gc);
  return addGlobalOptions(command);
}

interface GcCommandOptions extends GlobalOptions {
  dryRun: boolean;
  /** In milliseconds. */
  grace: number;
}

async function gc(options: GcCommandOptions): Promise<void> {
  await withStore(options, async (store, signal) => {
    const { dryRun, grace: graceMs } = options;
    await using snapshotter = await openSnapshotsThere(options.root, { signal });
    const report = await store.gc({ dryRun, graceMs, snapshotter, signal });
    printResult(options, process.stdout, { json: report, text: () => reportText(report, graceMs) });
  });
}

const NOUNS: Readonly<Record<StoredFileKind, readonly [one: string, many: string]>> = {
  blob: ["blob", "blobs"],
  layer: ["layer archive", "layer archives"],
  disk: ["disk", "disks"],
  leftover: ["leftover", "leftovers"],
};

function reportText({ dryRun, images, snapshots, totals, freedBytes, young }: GcReport, graceMs: number): string {
  const did = dryRun ? "would remove" : "removed";
  const lines = images.map((digest) => `${did} image ${digest}`);
  lines.push(...snapshots.map((name) => `${did} snapshot ${name}`));
  for (const [kind, [one, many]] of Object.entries(NOUNS) as [StoredFileKind, readonly [string, string]][]) {
    const { count, bytes } = totals[kind];
    if (count > 0) lines.push(`${count} ${count === 1 ? one : many}, ${formatSize(bytes)}`);
  }
  if (young.count > 0) lines.push(`${formatSize(young.bytes)} stay: younger than ${formatDuration(graceMs)}`);
  lines.push(`${dryRun ? "would free" : "freed"} ${formatSize(freedBytes)}`);
  return lines.map((line) => `${line}\n`).join("");
}
