import { spawn } from "node:child_process";
import { pipeline } from "node:stream/promises";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";

/** A program that is not ours, and where it comes from. */
export interface Program {
  readonly name: string;
  /** For who does not have it: "GNU tar". */
  readonly package: string;
}

export interface ProgramRun extends CallOptions {
  readonly args: readonly string[];
  readonly cwd: string;
  /** Its standard input. Chunks must stay valid. */
  readonly input?: AsyncIterable<Uint8Array> | undefined;
  /** Takes its standard output. A chunk stays valid. */
  readonly onOutput?: ((chunk: Uint8Array) => void) | undefined;
  /** Is told each line of its standard error, as a byte string. */
  readonly onComplaint: (line: string) => void;
}

/** What has no line's end is a line at this length. */
const LINE_CHARACTERS = 16 << 10;

/**
 * Runs a program to its end, in the C locale and without a shell, and gives its exit status. An abort kills it.
 *
 * @throws {LayerFormatError} `tool_missing`; what the input throws, for which the program is killed
 */
export async function runProgram(program: Program, run: ProgramRun): Promise<number | null> {
  const { args, cwd, input, onOutput, onComplaint, signal } = run;
  signal?.throwIfAborted();
  const child = spawn(program.name, args, {
    cwd,
    env: { PATH: process.env["PATH"], LC_ALL: "C" },
    stdio: ["pipe", onOutput === undefined ? "ignore" : "pipe", "pipe"],
  });
  const kill = (): void => void child.kill("SIGKILL");
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  signal?.addEventListener("abort", kill, { once: true });
  child.stdout?.on("data", (chunk: Buffer) => onOutput?.(chunk));
  readLines(child.stderr as NodeJS.ReadableStream, onComplaint);
  const fed = pipeline(input ?? [], child.stdin as NodeJS.WritableStream).then(
    () => undefined,
    (error: unknown) => {
      if (!isClosedPipe(error)) kill();
      return { error };
    },
  );
  try {
    const [failure, status] = await Promise.all([fed, ended]);
    signal?.throwIfAborted();
    if (failure !== undefined && (!isClosedPipe(failure.error) || status === 0)) throw failure.error;
    return status;
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || child.pid !== undefined) throw error;
    const what = `cannot run ${program.name}: it is not installed (package ${program.package})`;
    throw new LayerFormatError("tool_missing", what, { cause: error });
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

/** The program has ended, or takes nothing more: why, its exit status says. */
function isClosedPipe(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EPIPE" || code === "ECONNRESET" || code === "ERR_STREAM_PREMATURE_CLOSE";
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString("latin1")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    if (rest.length < LINE_CHARACTERS) return;
    onLine(rest);
    rest = "";
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}
