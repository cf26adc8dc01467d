import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { CallOptions } from "./command.js";
import { OracleError } from "./errors.js";
import { compiledGoProgram } from "./go-program.js";

const PROGRAM = fileURLToPath(new URL("../list-tar.go", import.meta.url));

/** An entry as Go's archive/tar has it. Texts are byte strings. */
export interface GoTarRecord {
  readonly name: string;
  /** The name by Go's `path.Clean`, taken from the root: the path that containerd unpacks to. */
  readonly clean: string;
  /** The type flag, one character. */
  readonly type: string;
  readonly linkTarget: string;
  /** The low twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Numbers beyond the safe integers are rounded. */
  readonly size: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** In hexadecimal. */
  readonly xattrs: Readonly<Record<string, string>>;
  /** Of the content with its holes; of what there was, if the reader broke off in it. */
  readonly sha256: string;
}

/** What Go's reader makes of a tar. */
export interface GoTarListing {
  readonly entries: readonly GoTarRecord[];
  /** Why it broke off, in its words. */
  readonly error?: string;
}

/**
 * Reads tars with Go's archive/tar, on which containerd, umoci and podman are built: a listing for each file, in order.
 */
export async function listTarsWithGo(
  paths: readonly string[],
  options: CallOptions = {},
): Promise<readonly GoTarListing[]> {
  options.signal?.throwIfAborted();
  const program = await compiledGoProgram(PROGRAM, options);
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close") as Promise<[number | null]>;
  const abort = (): boolean => child.kill("SIGTERM");
  options.signal?.addEventListener("abort", abort);
  // the program may end before it has read everything; its exit code tells
  child.stdin.on("error", () => undefined);
  child.stdin.end(paths.map((path) => `${path}\n`).join(""));
  try {
    const listings: GoTarListing[] = [];
    for await (const line of createInterface({ input: child.stdout })) listings.push(JSON.parse(line) as GoTarListing);
    const [exitCode] = await closed;
    options.signal?.throwIfAborted();
    if (exitCode !== 0 || listings.length !== paths.length) {
      const state = `exit code ${exitCode}, ${listings.length} of ${paths.length} listings`;
      throw new OracleError("tool_failed", `cannot list tars with Go: ${state}`);
    }
    return listings;
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}
