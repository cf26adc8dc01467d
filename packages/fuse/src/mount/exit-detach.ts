import { spawnSync } from "node:child_process";

import { detachParameters } from "./kernel-mount.js";

/**
 * What is mounted by this process. A process cannot end while a thread of it waits for the kernel's next question, so that
 * `process.exit()` and uncaught errors would hang. One list and one listener for all, since Node warns of more than ten.
 */
const places = new Set<string>();

/** Has a mount detached if the process ends; gives what takes that back. */
export function detachAtExit(place: string): () => void {
  if (places.size === 0) process.on("exit", detachAll);
  places.add(place);
  return () => {
    places.delete(place);
    if (places.size === 0) process.off("exit", detachAll);
  };
}

function detachAll(): void {
  for (const place of places) spawnSync("umount", detachParameters(place), { stdio: "ignore", cwd: "/" });
}
