import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import { runTool, type ToolCall } from "./tool-process.js";

/** Where overlayfs keeps what is between it and one upper directory. */
const OVERLAYS = ["--xattrs-exclude=trusted.overlay.*", "--xattrs-exclude=user.overlay.*"];

/** Gives a directory the mode, owner, times and extended attributes of another one: Node can set neither these nor nanoseconds. */
export async function copyAttributes(from: string, to: string, { signal }: CallOptions): Promise<void> {
  const kept = ["--numeric-owner", "--xattrs", "--xattrs-include=*", ...OVERLAYS];
  const pack = ["--create", "--format=posix", "--no-recursion", ...kept, "--directory", from, "."];
  const archive = await runTar({ parameters: pack, signal }, from);
  await runTar(
    { parameters: ["--extract", "--preserve-permissions", ...kept, "--directory", to], input: archive, signal },
    to,
  );
}

async function runTar(call: ToolCall, directory: string): Promise<Buffer> {
  const { exitCode, output, words } = await runTool("tar", call);
  if (exitCode === 0) return output;
  throw new SnapshotError("snapshot_invalid", `cannot take over the attributes of ${quote(directory)}: ${words}`);
}
