import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Gives a host its file in a directory of hosts, and what else lies beside it. */
export function writeHost(directory: string, host: string, text: string, files: Record<string, string> = {}): void {
  mkdirSync(join(directory, host));
  writeFileSync(join(directory, host, "hosts.toml"), text);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, host, name), content);
}
