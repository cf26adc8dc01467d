import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Debian keeps the checkers of file systems where only root's PATH has them. */
const PATH = [process.env["PATH"] ?? "", "/usr/sbin", "/sbin"].join(delimiter);

export function hasTool(name: string): boolean {
  return PATH.split(delimiter).some((directory) => directory !== "" && existsSync(join(directory, name)));
}

/** Runs a program to its end; `status` is null if it could not run. */
export function runTool(
  name: string,
  args: readonly string[],
  options: { cwd?: string; input?: Uint8Array } = {},
): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(name, args, {
    ...options,
    encoding: "utf8",
    env: { ...process.env, PATH },
  });
  return { status, output: `${stdout}${stderr}` };
}
