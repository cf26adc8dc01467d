import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { serveNbd } from "../src/index.js";
import type { NbdExports, NbdServer, ServeNbdOptions } from "../src/index.js";

export type ServingOptions = Pick<ServeNbdOptions, "limits" | "onReadError" | "onDrop" | "signal">;

/** Serves on a socket of its own for as long as `use` takes. */
export async function serving<T>(
  exports: NbdExports,
  options: ServingOptions,
  use: (server: NbdServer) => Promise<T>,
): Promise<T> {
  return inDirectory(async (directory) => {
    await using server = await serveNbd(exports, { ...options, path: join(directory, "disk.sock") });
    return await use(server);
  });
}

export async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "lamella-nbd-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
