import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach } from "vitest";

/** A directory for each test. */
export function scratchDirectory(): () => string {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lamella-lazy-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  return () => directory;
}
