import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("snapshotter-process.mjs", import.meta.url));

/** Another process that works on the snapshots of a directory (see `snapshotter-process.mjs`, which needs the package built). */
export interface SnapshotterProcess extends AsyncDisposable {
  /** What it has said so far, line by line. */
  readonly lines: readonly string[];
  /** Resolves when it has ended by itself. */
  ended(): Promise<void>;
  /** Kills it, and resolves when it is gone. */
  kill(): Promise<void>;
}

/** Starts it, and waits until it is where it was to get: until it has said the name of its work. */
export async function startProcess(directory: string, work: string): Promise<SnapshotterProcess> {
  const child = spawn(process.execPath, [SCRIPT, directory, work], { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const parts = `${rest}${text}`.split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      if (lines.includes(work)) resolve();
    });
    closed.then(([code]) => reject(new Error(`the process has ended early: ${String(code)}`)), reject);
  });
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await closed;
  };
  return {
    lines,
    async ended() {
      await closed;
      expectSuccess(child);
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

function expectSuccess({ exitCode }: ChildProcess): void {
  if (exitCode !== 0) throw new Error(`the process has ended with ${exitCode}`);
}
