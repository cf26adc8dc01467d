import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createMounter } from "../src/node/kernel-mounter.js";

/** Why this process cannot mount; undefined if it can. */
export async function whyNoMounts(): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "lamella-mount-"));
  const mounter = createMounter();
  const mounts = [{ type: "bind", source: directory, options: ["ro"] }];
  try {
    await mounter.mount(mounts, directory);
    await mounter.unmount(mounts, directory);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(directory, { recursive: true });
  }
}
