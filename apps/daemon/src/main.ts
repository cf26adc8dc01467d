import { defaultStoreDirectory } from "@lamella/image-store";
import { Command } from "commander";

import { startDaemon } from "./daemon.js";
import type { Daemon } from "./daemon.js";
import { defaultListen } from "./default-listen.js";
import { DaemonError } from "./errors.js";
import { parseListenAddress } from "./listen-address.js";

/** Replaced by the bundler. */
declare const VERSION: string;

/** With the time that is left to close the store, a stop ends within 10 seconds. */
const GRACE_MS = 8000;
const STOP_MS = 9500;

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

interface Flags {
  readonly root?: string;
  readonly listen?: string;
}

async function main(): Promise<void> {
  const program = new Command("lamellad")
    .description("Serves a Lamella store as an OCI registry")
    .version(VERSION)
    .option("--root <dir>", "the store (default: $LAMELLA_ROOT, else the XDG data directory)")
    .option("--listen <address>", "unix:PATH or LOOPBACK:PORT, port 0 for any (default: a socket in $XDG_RUNTIME_DIR)")
    .allowExcessArguments(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .parse();
  const flags: Flags = program.opts();
  try {
    const root = flags.root ?? defaultStoreDirectory(process.env);
    const listen = parseListenAddress(flags.listen ?? defaultListen(process.env));
    const daemon = await startDaemon({ root, listen, onError: report });
    stopOnSignals(daemon);
    process.stdout.write(`${JSON.stringify({ listening: daemon.url })}\n`);
  } catch (error) {
    process.stderr.write(`lamellad: ${messageOf(error)}\n`);
    process.exitCode = isUsage(error) ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** The first signal stops in good order, the second at once. */
function stopOnSignals(daemon: Daemon): void {
  let stopping = false;
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (stopping) process.exit(status);
      stopping = true;
      setTimeout(() => process.exit(EXIT_FAILURE), STOP_MS).unref();
      daemon.stop(GRACE_MS).then(
        () => process.exit(0),
        (error: unknown) => {
          report(error);
          process.exit(EXIT_FAILURE);
        },
      );
    });
  }
}

/** One line of JSON for each thing that went wrong on our side. */
function report(error: unknown): void {
  const stack = error instanceof Error ? error.stack : undefined;
  const line = { time: new Date().toISOString(), level: "error", message: messageOf(error), stack };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isUsage(error: unknown): boolean {
  return error instanceof DaemonError && error.code !== "listen_failed";
}

await main();
