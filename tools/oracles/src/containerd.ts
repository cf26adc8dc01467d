import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CallOptions, CommandResult } from "./command.js";
import { runCommand } from "./command.js";
import { OracleError } from "./errors.js";
import { requireTool } from "./requirements.js";

const START_TIMEOUT_MS = 20_000;

/** A containerd of our own that runs until `use` has ended. */
export interface Containerd {
  /** Runs `ctr` against it; any exit code but 0 throws `tool_failed`. */
  ctr(this: void, parameters: readonly string[], options?: CallOptions): Promise<CommandResult>;
  /** The same with stargz-snapshotter's `ctr-remote`, which may be fed a file. */
  ctrRemote(
    this: void,
    parameters: readonly string[],
    options?: CallOptions & { stdin?: string },
  ): Promise<CommandResult>;
}

/**
 * Runs a private containerd, with its content and snapshots in the directory `root` and its socket elsewhere, for as long as
 * `use` takes. It shares nothing with one that the machine may be running. Needs root.
 */
export async function withContainerd<T>(
  { root, signal }: CallOptions & { root: string },
  use: (containerd: Containerd) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const binary = requireTool("containerd");
  // the path of a unix socket must stay under 108 bytes
  const state = await mkdtemp(join(tmpdir(), "lamella-ctrd-"));
  const socket = join(state, "sock");
  const log = join(state, "log");
  await mkdir(root, { recursive: true });
  const configuration = join(state, "config.toml");
  await writeFile(configuration, configurationText({ root, state, socket }));
  const child = spawn("/bin/sh", ["-c", 'exec "$0" -c "$1" >"$2" 2>&1', binary, configuration, log], {
    stdio: "ignore",
  });
  try {
    await answering({ child, socket, log, signal });
    return await use({
      ctr: (parameters, options = {}) =>
        runCommand("ctr", ["--address", socket, ...parameters], { accept: [0], signal, ...options }),
      ctrRemote: (parameters, options = {}) =>
        runCommand("ctr-remote", ["--address", socket, ...parameters], { accept: [0], signal, ...options }),
    });
  } finally {
    await end(child);
    await rm(state, { recursive: true, force: true });
  }
}

function configurationText({ root, state, socket }: { root: string; state: string; socket: string }): string {
  return `version = 2
root = ${JSON.stringify(root)}
state = ${JSON.stringify(join(state, "state"))}
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = ${JSON.stringify(socket)}
[ttrpc]
  address = ${JSON.stringify(`${socket}.ttrpc`)}
`;
}

interface Starting extends CallOptions {
  child: ChildProcess;
  socket: string;
  log: string;
}

async function answering({ child, socket, log, signal }: Starting): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const said = await readFile(log, "utf8").catch(() => "");
      throw new OracleError("tool_failed", `cannot start containerd: ${said.trim().slice(-2000) || "no answer"}`);
    }
    await delay(50, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", () => resolve(false));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
