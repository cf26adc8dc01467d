import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallOptions, CommandResult } from "./command.js";
import { runCommand } from "./command.js";
import { withDaemon } from "./daemon.js";
import { requireTool } from "./requirements.js";

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

export interface ContainerdOptions extends CallOptions {
  root: string;
  /** Snapshotters that run beside it: the sockets by their names. */
  snapshotters?: Readonly<Record<string, string>>;
}

/**
 * Runs a private containerd, with its content and snapshots in the directory `root` and its socket elsewhere, for as long as
 * `use` takes. It shares nothing with one that the machine may be running. Needs root.
 */
export async function withContainerd<T>(
  { root, snapshotters = {}, signal }: ContainerdOptions,
  use: (containerd: Containerd) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const program = requireTool("containerd");
  // the path of a unix socket must stay under 108 bytes
  const state = await mkdtemp(join(tmpdir(), "lamella-ctrd-"));
  const socket = join(state, "sock");
  try {
    await mkdir(root, { recursive: true });
    const configuration = join(state, "config.toml");
    await writeFile(configuration, configurationText({ root, state, socket, snapshotters }));
    return await withDaemon(
      { program, parameters: ["-c", configuration], socket, log: join(state, "log"), signal },
      () =>
        use({
          ctr: (parameters, options = {}) =>
            runCommand("ctr", ["--address", socket, ...parameters], { accept: [0], signal, ...options }),
          ctrRemote: (parameters, options = {}) =>
            runCommand("ctr-remote", ["--address", socket, ...parameters], { accept: [0], signal, ...options }),
        }),
    );
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

interface Configuration {
  root: string;
  state: string;
  socket: string;
  snapshotters: Readonly<Record<string, string>>;
}

function configurationText({ root, state, socket, snapshotters }: Configuration): string {
  const plugins = Object.entries(snapshotters).map(
    ([name, address]) => `[proxy_plugins.${name}]
  type = "snapshot"
  address = ${JSON.stringify(address)}
`,
  );
  return `version = 2
root = ${JSON.stringify(root)}
state = ${JSON.stringify(join(state, "state"))}
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = ${JSON.stringify(socket)}
[ttrpc]
  address = ${JSON.stringify(`${socket}.ttrpc`)}
${plugins.join("")}`;
}
