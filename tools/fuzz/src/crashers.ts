import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Fault } from "./fuzz.js";

const DIRECTORY = fileURLToPath(new URL("../crashers", import.meta.url));

/** An input that was a fault once, kept so that it never is again. */
export interface Crasher {
  readonly name: string;
  readonly input: Uint8Array;
}

/** Keeps the input of a fault, with what was wrong beside it. Gives the file. */
export async function saveCrasher(target: string, { input, reason }: Fault): Promise<string> {
  const directory = join(DIRECTORY, target);
  await mkdir(directory, { recursive: true });
  const file = join(directory, createHash("sha256").update(input).digest("hex").slice(0, 16));
  await writeFile(file, input);
  // The rest is a stack with the paths of one machine.
  await writeFile(`${file}.txt`, `${reason.split("\n", 1)[0]}\n`);
  return file;
}

export async function loadCrashers(target: string): Promise<readonly Crasher[]> {
  const directory = join(DIRECTORY, target);
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const inputs = names.filter((name) => !name.endsWith(".txt"));
  return Promise.all(inputs.map(async (name) => ({ name, input: await readFile(join(directory, name)) })));
}
