import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDirectory } from "@lamella/fixtures";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";

/** Where Debian's packages put the sources of Go libraries. */
export const GO_LIBRARIES = "/usr/share/gocode";

/**
 * The path of a program that is compiled from one file with Debian's Go and its libraries, once: it stays in the fixtures' cache.
 */
export async function compiledGoProgram(source: string, options: CallOptions = {}): Promise<string> {
  options.signal?.throwIfAborted();
  const hash = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 16);
  const directory = join(cacheDirectory(), basename(source, ".go"));
  const program = join(directory, `${hash}-${process.arch}`);
  if (await exists(program)) return program;
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(join(directory, ".making-"));
  try {
    const made = join(work, "program");
    await runCommand("go", ["build", "-o", made, source], {
      accept: [0],
      environment: { GO111MODULE: "off", GOPATH: GO_LIBRARIES, GOCACHE: join(work, "cache"), CGO_ENABLED: "0" },
      signal: options.signal,
    });
    // whichever process is last puts the same program in place
    await rename(made, program);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return program;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
