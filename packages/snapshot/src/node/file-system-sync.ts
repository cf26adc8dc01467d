import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import { runTool } from "./tool-process.js";

/** Writes everything to disk that waits for that in the file system of a path: Node can do it for single files only. */
export async function syncFileSystem(path: string, { signal }: CallOptions): Promise<void> {
  const { exitCode, words } = await runTool("sync", { parameters: ["--file-system", "--", path], signal });
  if (exitCode !== 0) throw new SnapshotError("snapshot_invalid", `cannot write ${quote(path)} to disk: ${words}`);
}
