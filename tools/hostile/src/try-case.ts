import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { type CommandResult, runMeasured } from "./command.js";
import { readCpio } from "./cpio-archive.js";
import { sourceOf } from "./corpus.js";
import { type ExpectedTree, type Format, type HostileCase, isRefusal, type Refusal } from "./hostile-case.js";
import { judgeContents, judgeListing } from "./judge-tree.js";
import { createSandbox, type Sandbox } from "./sandbox.js";

export interface TryOptions {
  /** The command and its first arguments. */
  readonly command: readonly string[];
  /** Where `writeCorpus` wrote the cases. */
  readonly corpus: string;
  /** Judges a disk further, before it goes: gives what is wrong with it. */
  readonly checkDisk?: (path: string, format: Format) => Promise<readonly string[]>;
}

/** What came of a case. */
export interface Verdict {
  readonly case: HostileCase;
  /** What was wrong, a line each; empty when all was right. */
  readonly faults: readonly string[];
  readonly seconds: number;
  readonly peakBytes: number;
  /** What the command said where it refused. */
  readonly message: string;
}

/** Of one process: what the promise "nothing hangs, nothing exceeds" means in figures. */
const MEMORY_LIMIT_BYTES = 256e6;
const TIME_LIMIT_SECONDS = 20;

/** One that is read by mounting it, and one whose contents are easily read here. */
const FORMATS: readonly Format[] = ["ext4", "cpio"];
const STORE_FILES = new Set(["oci-layout", "index.json", "lamella.db", "lamella.db-wal", "lamella.db-shm"]);

/** Runs the command on one case, in a sandbox of its own, and judges all that came of it. */
export async function tryCase(each: HostileCase, options: TryOptions): Promise<Verdict> {
  const sandbox = createSandbox();
  const faults: string[] = [];
  const results: CommandResult[] = [];
  const { expected, formats = isRefusal(expected) ? FORMATS.slice(0, 1) : FORMATS } = each;

  async function run(name: string, ...args: readonly string[]): Promise<CommandResult> {
    const source = sourceOf(each, options.corpus);
    const common = ["--root", sandbox.root, "--platform", "linux/amd64", "--quiet", "--no-progress"];
    const result = await runMeasured([...options.command, name, source, ...args, ...common], {
      cwd: sandbox.work,
      env: { TMPDIR: sandbox.temporary },
      timeoutSeconds: TIME_LIMIT_SECONDS,
    });
    results.push(result);
    const judged = isRefusal(expected) ? judgeRefusal(result, expected, sandbox) : judgeSuccess(result);
    const always = [...judgeCost(result), ...sandbox.changes(), ...left(sandbox, sandbox.temporary)];
    faults.push(...[...judged, ...always].map((fault) => `${name} ${args[1] ?? ""}: ${fault}`));
    return result;
  }

  try {
    if (!isRefusal(expected)) {
      const { status, stdout } = await run("ls", "-R", "--json");
      if (status === 0) faults.push(...judgeListing(stdout, expected));
    }
    for (const format of formats) {
      const disk = join(sandbox.output, `disk.${format}`);
      const { status } = await run("disk", "--format", format, "-o", disk);
      if (isRefusal(expected) || status !== 0) continue;
      faults.push(
        ...left(
          sandbox,
          sandbox.output,
          formats.map((known) => join(sandbox.output, `disk.${known}`)),
        ),
      );
      faults.push(...((await options.checkDisk?.(disk, format)) ?? []).map((fault) => `${format}: ${fault}`));
      if (format === "cpio" && each.withoutContents !== true) faults.push(...judgeCpio(disk, expected));
    }
  } finally {
    sandbox.close();
  }
  return {
    case: each,
    faults,
    seconds: Math.max(...results.map(({ seconds }) => seconds)),
    peakBytes: Math.max(...results.map(({ peakBytes }) => peakBytes)),
    message: results[0]?.stderr.trim() ?? "",
  };
}

function judgeRefusal({ status, stdout, stderr }: CommandResult, refusal: Refusal, sandbox: Sandbox): string[] {
  const faults: string[] = [];
  if (status !== refusal.status) faults.push(`it ended with ${status}, not ${refusal.status}: ${shown(stderr)}`);
  if (stdout !== "") faults.push(`it wrote to stdout: ${stdout.slice(0, 200)}`);
  const lines = stderr.trimEnd().split("\n");
  if (lines.length !== 1) faults.push(`stderr has ${lines.length} lines, not one: ${shown(stderr)}`);
  if (!/^[a-z]+: cannot /.test(stderr)) faults.push(`stderr does not say what it cannot do: ${shown(stderr)}`);
  if (/^\s+at /m.test(stderr)) faults.push("stderr has a stack trace");
  if (/[^\P{C}\n]/u.test(stderr)) faults.push(`stderr has control characters: ${shown(stderr)}`);
  for (const word of refusal.words) {
    if (!stderr.includes(word)) faults.push(`stderr does not say ${JSON.stringify(word)}: ${shown(stderr)}`);
  }
  return [...faults, ...left(sandbox, sandbox.output), ...judgeStore(sandbox)];
}

/** An image that was refused has no name in the store, no tree, and no part of anything. */
function judgeStore({ root }: Sandbox): string[] {
  const faults: string[] = [];
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(root.length + 1);
    if (entry.isDirectory() || path.startsWith("blobs/") || path.startsWith("layers/")) continue;
    if (!STORE_FILES.has(path)) faults.push(`the store has ${path}`);
    else if (path === "index.json" && readFileSync(join(root, path), "utf8").includes("sha256")) {
      faults.push("the store names the image");
    }
  }
  return faults;
}

function judgeSuccess({ status, stderr }: CommandResult): string[] {
  const faults: string[] = [];
  if (status !== 0) faults.push(`it ended with ${status}: ${shown(stderr)}`);
  else if (stderr !== "") faults.push(`stderr is not empty: ${shown(stderr)}`);
  return faults;
}

function judgeCost({ peakBytes, seconds, timedOut }: CommandResult): string[] {
  const faults: string[] = [];
  if (timedOut) faults.push(`it did not end within ${TIME_LIMIT_SECONDS} seconds (${seconds.toFixed(1)})`);
  if (peakBytes > MEMORY_LIMIT_BYTES) faults.push(`it held ${(peakBytes / 1e6).toFixed(0)} MB`);
  return faults;
}

function shown(stderr: string): string {
  return JSON.stringify(stderr.slice(0, 500));
}

function judgeCpio(path: string, expected: ExpectedTree): string[] {
  return judgeContents(readCpio(readFileSync(path)), expected);
}

function left(sandbox: Sandbox, directory: string, wanted: readonly string[] = []): string[] {
  return sandbox
    .filesIn(directory)
    .filter((path) => !wanted.includes(path))
    .map((path) => `it left ${path}`);
}
