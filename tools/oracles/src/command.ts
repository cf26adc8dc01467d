import { spawn } from "node:child_process";
import type { SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { isAbsolute } from "node:path";
import { pipeline } from "node:stream/promises";
import { OracleError } from "./errors.js";
import { requireTool } from "./requirements.js";

const KEPT_CHARACTERS = 64 * 1024;

/** Every oracle takes a signal: it is checked before work, and the oracle then rejects with `signal.reason`. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface CommandOptions extends CallOptions {
  cwd?: string;
  /** Variables beside this process's own. */
  environment?: Readonly<Record<string, string>>;
  /** Exit codes that are a verdict; any other throws `tool_failed`. All of them by default. */
  accept?: readonly number[];
  /** A file to feed to the command; nothing by default. */
  stdin?: string;
  /** What ends an aborted command; SIGTERM by default. */
  endWith?: NodeJS.Signals;
}

/** How a command ended, and the last 64 Ki characters of what it said. */
export interface CommandResult {
  readonly exitCode: number;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

/** Runs a command, by its name or absolute path, to its end in the C locale. Aborting ends the command before the promise rejects. */
export async function runCommand(
  tool: string,
  parameters: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const settings: SpawnOptions = {
    env: { ...process.env, LC_ALL: "C.UTF-8", ...options.environment },
    stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  };
  if (options.cwd !== undefined) settings.cwd = options.cwd;
  const child = spawn(isAbsolute(tool) ? tool : requireTool(tool), parameters, settings);
  const abort = (): boolean => child.kill(options.endWith ?? "SIGTERM");
  options.signal?.addEventListener("abort", abort);

  let output = "";
  const keep = (text: string): void => {
    output = (output + text).slice(-KEPT_CHARACTERS);
  };
  child.stdout?.setEncoding("utf8").on("data", keep);
  child.stderr?.setEncoding("utf8").on("data", keep);
  try {
    const [ended] = await Promise.all([
      once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>,
      child.stdin && options.stdin !== undefined ? feed(options.stdin, child.stdin) : undefined,
    ]);
    options.signal?.throwIfAborted();
    const [exitCode, killedBy] = ended;
    if (exitCode === null) throw failure(tool, `ended by ${killedBy}`, output);
    if (options.accept?.includes(exitCode) === false) throw failure(tool, `exit code ${exitCode}`, output);
    return { exitCode, output };
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

/** A command may stop reading before the end: that is its right, and its exit code says whether it was content. */
async function feed(path: string, stdin: NodeJS.WritableStream): Promise<void> {
  try {
    await pipeline(createReadStream(path), stdin);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EPIPE" && code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}

function failure(tool: string, state: string, output: string): OracleError {
  return new OracleError("tool_failed", `cannot run ${tool}: ${state}: ${output.trim().slice(-2000)}`);
}
