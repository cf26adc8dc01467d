import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";

export interface CommandResult {
  /** The exit status; 128 and its number for a signal. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
  /** The most memory that the process had at once; 0 where the kernel does not say. */
  readonly peakBytes: number;
  readonly timedOut: boolean;
}

export interface CommandOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
}

const SIGNAL_STATUS = 137;
const POLL_MS = 10;

/** Runs a command to its end, or to the end of its time, and measures it. */
export async function runMeasured(
  [command = "", ...args]: readonly string[],
  { cwd, env, timeoutSeconds }: CommandOptions,
): Promise<CommandResult> {
  const started = performance.now();
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const { pid } = child;
  let peakBytes = 0;
  let timedOut = false;
  const poll = setInterval(() => {
    if (pid !== undefined) peakBytes = Math.max(peakBytes, highWaterMark(pid));
  }, POLL_MS);
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutSeconds * 1000);
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.once("error", reject).once("close", (code) => resolve(code ?? SIGNAL_STATUS));
    });
    const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    return { status, stdout, stderr, peakBytes, timedOut, seconds: (performance.now() - started) / 1000 };
  } finally {
    clearInterval(poll);
    clearTimeout(timer);
  }
}

function highWaterMark(pid: number): number {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    // The process has ended, or there is no /proc.
    return 0;
  }
}
