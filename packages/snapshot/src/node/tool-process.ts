import { spawn } from "node:child_process";

import type { CallOptions } from "@lamella/refs";

import { SnapshotError } from "../errors.js";

const KEPT_BYTES = 64 * 1024;

export interface ToolCall extends CallOptions {
  readonly parameters: readonly string[];
  /** Where relative paths among the parameters begin. */
  readonly cwd?: string | undefined;
  readonly input?: Uint8Array | undefined;
}

export interface ToolResult {
  /** Undefined for a process that a signal has ended. */
  readonly exitCode: number | undefined;
  /** At most the first 64 KiB. */
  readonly output: Buffer;
  /** What it said on standard error, at most 64 KiB. */
  readonly words: string;
}

/**
 * Runs a program of the system to its end, in the C locale. Aborting kills it, and the call rejects once it has ended.
 * @throws {SnapshotError} `unsupported` where there is no such program
 */
export async function runTool(tool: string, call: ToolCall): Promise<ToolResult> {
  const { parameters, cwd, input, signal } = call;
  signal?.throwIfAborted();
  const child = spawn(tool, parameters, {
    // Newer versions of mount(8) would hand over options in pieces that the kernel cuts at 256 bytes.
    env: { ...process.env, LC_ALL: "C", LIBMOUNT_FORCE_MOUNT2: "always" },
    stdio: ["pipe", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const abort = (): boolean => child.kill("SIGKILL");
  signal?.addEventListener("abort", abort);
  const output = gather(child.stdout);
  const words = gather(child.stderr);
  // A program that ends without reading everything says so by its exit code.
  child.stdin.on("error", () => undefined).end(input);
  try {
    const exitCode = await new Promise<number | undefined>((done, failed) => {
      child.on("error", failed).on("close", (code) => done(code ?? undefined));
    });
    signal?.throwIfAborted();
    return { exitCode, output: output(), words: words().toString("utf8").trim() };
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    throw new SnapshotError("unsupported", `cannot run ${tool}: it is not installed`, { cause: error });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function gather(stream: NodeJS.ReadableStream): () => Buffer {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    if (bytes < KEPT_BYTES) chunks.push(chunk.subarray(0, KEPT_BYTES - bytes));
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks);
}
