import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { checkImageStore, openImageStore, pullImage } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";

import type { ErrorReport } from "./error-report.js";
import { openManager } from "./operations.js";
import { IMAGES, makeSampleImages, PLATFORM } from "./sample-images.js";
import { scratchDirectory } from "./scratch-directory.js";
import { knowNothing, readAll, strayFiles } from "./stored-files.js";

const WORKER = join(import.meta.dirname, "../dist/crowd-worker.js");

/** What processes did, and what must not have happened. */
export interface CrowdReport {
  readonly done: Record<string, number>;
  /** Errors that callers have to expect, by work and code. */
  readonly refused: Record<string, number>;
  readonly faults: string[];
}

/** Others had it for too long, or have removed it: a build as well, whose image was removed when it was ready, or which gave way to that of another image of the name. */
export function isAllowed({ isTyped, code, message }: ErrorReport): boolean {
  if (!isTyped) return false;
  if (code === "busy" || code === "not_found") return true;
  if (code === "build_cancelled") return /it was deleted/.test(message);
  return code === "build_failed" && /not in the store/.test(message);
}

export interface CrowdOptions {
  readonly processes: number;
  readonly seconds: number;
  readonly seed: number;
}

/** Lets processes use one store at once. Afterwards a check finds nothing, what names lead to is whole, and nothing else stays after garbage collection. */
export async function runCrowd({ processes, seconds, seed }: CrowdOptions): Promise<CrowdReport> {
  const directory = scratchDirectory("crowd");
  try {
    const images = join(directory, "images");
    mkdirSync(images);
    await makeSampleImages(images);
    const path = join(directory, "store");
    const each = Array.from({ length: processes }, (_, at) => runOne([path, images, `${seconds}`, `${seed + at}`]));
    const report = addUp(await Promise.all(each));
    for await (const { kind, subject, problem } of checkImageStore(path)) {
      report.faults.push(`check: ${kind} ${subject}: ${problem}`);
    }
    {
      await using store = await openImageStore(path);
      await endBuilds(store, images);
      // archives are a cache: what is named while they are collected gets them again from its blobs, as it does for every reader
      for (const { name } of await store.tags()) await pullImage(store, store, name, { platform: PLATFORM });
      await readAll(store, knowNothing());
      await store.gc({ graceMs: 0 });
    }
    const stray = await strayFiles(path);
    if (stray.length > 0) report.faults.push(`garbage collection has left ${stray.join(", ")}`);
    return report;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A process that gives up waiting for an image closes its manager, and leaves the build of it to whoever recovers it: until then that holds what it has pulled. */
async function endBuilds(store: ImageStore, images: string): Promise<void> {
  await using manager = await openManager(store, images, IMAGES[0]);
  await manager.recoverInterruptedBuilds();
  await manager.queue.idle();
}

async function runOne(parameters: readonly string[]): Promise<CrowdReport> {
  const child = spawn(process.execPath, [WORKER, ...parameters], { stdio: ["ignore", "pipe", "pipe"] });
  const orphan = (): boolean => child.kill("SIGKILL");
  process.on("exit", orphan);
  let [said, complaint] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  process.off("exit", orphan);
  if (code !== 0) return { done: {}, refused: {}, faults: [`a process ended with ${code ?? signal}: ${complaint}`] };
  return JSON.parse(said) as CrowdReport;
}

function addUp(reports: readonly CrowdReport[]): CrowdReport {
  const total: CrowdReport = { done: {}, refused: {}, faults: [] };
  for (const { done, refused, faults } of reports) {
    for (const [key, count] of Object.entries(done)) total.done[key] = (total.done[key] ?? 0) + count;
    for (const [key, count] of Object.entries(refused)) total.refused[key] = (total.refused[key] ?? 0) + count;
    total.faults.push(...faults);
  }
  return total;
}
