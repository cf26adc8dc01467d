import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A real `docker-credential-NAME` that keeps what it is given in files of the directory, as one line of JSON each. */
export async function installHelper(directory: string, name: string, body = KEEPER): Promise<void> {
  const path = join(directory, `docker-credential-${name}`);
  await writeFile(path, `#!${process.execPath}\n${body}`);
  await chmod(path, 0o755);
}

/** The environment in which programs are found in the directory, and nowhere else. */
export function pathTo(directory: string): Record<string, string> {
  return { PATH: directory, HELPER_STORE: directory };
}

const KEEPER = `
const { appendFileSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const input = readFileSync(0, "utf8");
const verb = process.argv[2];
const fileOf = (server) => process.env.HELPER_STORE + "/" + encodeURIComponent(server) + ".json";
appendFileSync(process.env.HELPER_STORE + "/log", verb + " " + (verb === "store" ? JSON.parse(input).ServerURL : input) + "\\n");
try {
  if (verb === "store") writeFileSync(fileOf(JSON.parse(input).ServerURL), input);
  else if (verb === "erase") rmSync(fileOf(input));
  else process.stdout.write(readFileSync(fileOf(input)));
} catch {
  console.log("credentials not found in native keychain");
  process.exitCode = 1;
}
`;
