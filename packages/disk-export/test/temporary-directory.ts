import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

/** A directory for one test, gone after it. */
export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "lamella-disk-export-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}
