/** `npm start`: registry, push, pull, three disks and a table. Everything it makes lies in `demo/` at the top of the checkout. */
import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";

import { createRegistryClient } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";

import { startRegistry } from "./local-registry.js";
import { pushImage } from "./push-image.js";
import { sampleLayers } from "./sample-image.js";

const ROOT = join(import.meta.dirname, "../../..");
const PLACE = join(ROOT, "demo");
const CLI = join(ROOT, "apps/cli/dist/lamella.mjs");
const FORMATS = ["ext4", "erofs", "cpio"] as const;

interface WrittenDisk {
  readonly output: string;
  readonly format: string;
  readonly sizeBytes: number;
  readonly seconds: number;
  readonly digest: string;
}

await rm(PLACE, { recursive: true, force: true });
await mkdir(PLACE);
const registry = await startRegistry(join(PLACE, "registry"));
try {
  const reference = `${registry.address}/sample:latest`;
  say(`registry   http://${registry.address}`);
  const client = createRegistryClient();
  const pushed = await pushImage(client.repository(parseReference(reference)), "latest", sampleLayers());
  await client.close();
  say(
    `pushed     ${reference}  (${pushed.layerCount} layers, ${pushed.entryCount} entries, ${mebibytes(pushed.sizeBytes)})`,
  );
  const disks: WrittenDisk[] = [];
  for (const format of FORMATS) disks.push(await writeDisk(reference, format));
  say("");
  printTable(disks);
  say(`
The disks boot: ${relative(process.cwd(), PLACE) || "."}/sample.ext4 is a root file system, sample.cpio an initramfs.
Look into the image, or make a disk of one you know:

  npm start -- ls oci:${relative(process.cwd(), join(PLACE, "store")) || "."} /etc
  npm start -- disk alpine:3.20 -o alpine.ext4`);
} finally {
  await registry[Symbol.asyncDispose]();
}

/** The command itself, as anyone would run it. */
async function writeDisk(reference: string, format: string): Promise<WrittenDisk> {
  const output = join(PLACE, `sample.${format}`);
  const args = [CLI, "disk", reference, "-o", output, "--digest", "--json", "--quiet", "--root", join(PLACE, "store")];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as WrittenDisk;
}

function printTable(disks: readonly WrittenDisk[]): void {
  const rows = disks.map(({ output, format, sizeBytes, seconds, digest }) => [
    relative(process.cwd(), output),
    format,
    mebibytes(sizeBytes),
    seconds.toFixed(2),
    digest,
  ]);
  const head = ["file", "format", "size", "seconds", "digest"];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  for (const row of [head, ...rows])
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
