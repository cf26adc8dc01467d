import { spawnSync } from "node:child_process";

/** Runs a script to its end; throws what it says if it fails anywhere, inside a pipe too. */
export function shell(script, env = {}) {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", script], {
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`${script}\n${stderr}`);
  return stdout;
}
