import { spawn } from "node:child_process";

import { FuseError } from "../errors.js";

const KEPT_CHARACTERS = 4096;

export interface MountToolResult {
  readonly succeeded: boolean;
  /** What it said, without what it advises on further lines. */
  readonly words: string;
}

/**
 * Runs mount(8) or umount(8) to its end, in the C locale. It is not interrupted: killed at the wrong moment it would leave a mount that nobody knows of.
 *
 * @param fd what it finds as its descriptor 3; no other process gets it
 * @throws {FuseError} `unsupported` where there is no such program
 */
export async function runMountTool(
  tool: "mount" | "umount",
  parameters: readonly string[],
  fd?: number,
): Promise<MountToolResult> {
  const child = spawn(tool, parameters, {
    cwd: "/",
    // Newer versions of mount(8) would hand over options in pieces that the kernel cuts at 256 bytes.
    env: { ...process.env, LC_ALL: "C", LIBMOUNT_FORCE_MOUNT2: "always" },
    stdio: ["ignore", "ignore", "pipe", ...(fd === undefined ? [] : [fd])],
  });
  let words = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(0, KEPT_CHARACTERS);
  });
  try {
    const exitCode = await new Promise<number | null>((done, failed) => {
      child.on("error", failed).on("close", done);
    });
    const [said = ""] = words.trim().split("\n", 1);
    return { succeeded: exitCode === 0, words: said };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new FuseError("unsupported", `cannot run ${tool}: it is not installed`, { cause: error });
  }
}
