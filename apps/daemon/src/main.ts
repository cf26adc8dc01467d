import { readFile } from "node:fs/promises";

import { parsePlatform } from "@lamella/refs";
import { Command } from "commander";

import { readToken } from "./access-token.js";
import { startDaemon } from "./daemon.js";
import type { Daemon } from "./daemon.js";
import { DaemonError } from "./errors.js";
import type { TlsPair } from "./http-server.js";
import { parseListenAddress } from "./listen-address.js";
import type { ListenAddress } from "./listen-address.js";
import { createLog } from "./logging.js";
import type { Logger } from "./logging.js";
import { readSettings } from "./read-settings.js";
import type { Settings } from "./read-settings.js";
import { environmentName, SETTINGS } from "./settings.js";
import { findServiceManager, startWatchdog, takeActivatedSockets } from "./systemd.js";

/** Replaced by the bundler. */
declare const VERSION: string;

/** With the time that is left to leave the builds and close the store, a stop ends within 10 seconds. */
const GRACE_MS = 7000;
const STOP_MS = 9500;

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

async function main(): Promise<void> {
  const program = commandLine();
  let log: Logger | undefined;
  try {
    const inherited = takeActivatedSockets(process.env, process.pid);
    const settings = await readSettings({
      environment: process.env,
      flags: flagsOf(program),
      file: program.opts<{ config?: string }>().config,
      uid: process.getuid?.() ?? 0,
      isActivated: inherited.length > 0,
    });
    const token = await takeToken(settings);
    const listen = addressesOf(settings, inherited);
    const tls = await readTls(settings);
    if (program.opts<{ checkConfig?: boolean }>().checkConfig === true) {
      process.stdout.write(`${JSON.stringify(settings, undefined, 2)}\n`);
      return;
    }
    log = createLog({ level: settings.logLevel, ...(token !== undefined && { secrets: [token] }) });
    await run(settings, { listen, token, tls, log });
  } catch (error) {
    process.stderr.write(`lamellad: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = isUsage(error) ? EXIT_USAGE : EXIT_FAILURE;
  }
}

interface Running {
  readonly listen: readonly ListenAddress[];
  readonly token: string | undefined;
  readonly tls: TlsPair | undefined;
  readonly log: Logger;
}

async function run(settings: Settings, { listen, token, tls, log }: Running): Promise<void> {
  const services = findServiceManager(process.env, process.pid, log);
  const daemon = await startDaemon({
    root: settings.root,
    listen,
    token,
    tls,
    noToken: settings.noToken,
    builds: {
      concurrency: { builds: settings.builds, layers: settings.layers },
      quotas: settings.quotas,
      plainHttp: settings.plainHttp,
      hostsDir: settings.hostsDir,
    },
    defaults: { platform: parsePlatform(settings.platform), disk: settings.disk },
    snapshotDriver: settings.snapshotDriver,
    metrics: settings.metrics,
    onError: (error) => log.error({ err: error }, error instanceof Error ? error.message : String(error)),
    log,
    environment: process.env,
    version: VERSION,
  });
  const stop = stopOnSignals(daemon, { log, beforehand: () => services.tell("STOPPING=1") });
  try {
    await daemon.ready;
  } catch (error) {
    if (stop.aborted) return;
    await daemon.stop(0);
    throw error;
  }
  for (const url of daemon.urls) process.stdout.write(`${JSON.stringify({ listening: url })}\n`);
  if (daemon.tokenFile !== undefined) log.info({ file: daemon.tokenFile }, "TCP takes the token of this file");
  const watchdog = startWatchdog(services, (signal) => daemon.probe({ signal }));
  stop.addEventListener("abort", () => watchdog[Symbol.dispose]());
  await services.tell("READY=1");
}

function commandLine(): Command {
  const program = new Command("lamellad")
    .description(
      "Makes disks of container images, and serves them, an OCI registry and an HTTP API over a Lamella store",
    )
    .version(VERSION)
    .option("--config <file>", "settings, as JSON (default: lamella/lamellad.json in /etc or the XDG config directory)")
    .option("--check-config", "print the settings as they are in effect, and end")
    .allowExcessArguments(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
  for (const setting of SETTINGS) {
    const otherwise = setting.otherwise === "" ? "" : ` (default: ${setting.otherwise})`;
    const what = `${setting.what}${otherwise} [$${environmentName(setting)}]`.replaceAll("`", "");
    if (setting.kind === "list") {
      program.option(setting.flag, what, (text: string, texts: string[] | undefined) => [...(texts ?? []), text]);
    } else program.option(setting.flag, what);
  }
  return program.parse();
}

/** What was given on the command line, under the keys of the settings. */
function flagsOf(program: Command): Record<string, unknown> {
  const flags: Record<string, unknown> = {};
  for (const { key, flag, kind, given } of SETTINGS) {
    const name = program.options.find((option) => option.flags === flag)?.attributeName() ?? "";
    if (program.getOptionValueSource(name) !== "cli") continue;
    flags[key] = kind === "switch" ? given : program.getOptionValue(name);
  }
  return flags;
}

/** Not for the children that helpers for credentials are. */
async function takeToken({ tokenFile, noToken }: Settings): Promise<string | undefined> {
  const { LAMELLAD_TOKEN: variable } = process.env;
  delete process.env["LAMELLAD_TOKEN"];
  const token = await readToken(tokenFile, variable);
  if (token === undefined || !noToken) return token;
  throw new DaemonError("settings_invalid", "cannot use the settings: there are both a token and --no-token");
}

function addressesOf({ listen, noToken }: Settings, inherited: readonly number[]): ListenAddress[] {
  const addresses = listen.map((text) => parseListenAddress(text, { guarded: !noToken }));
  return [...inherited.map((fd) => ({ kind: "inherited", fd }) as const), ...addresses];
}

async function readTls({ tls }: Settings): Promise<TlsPair | undefined> {
  if (tls === undefined) return undefined;
  try {
    return { cert: await readFile(tls.cert, "utf8"), key: await readFile(tls.key, "utf8") };
  } catch (error) {
    const state = error instanceof Error ? error.message : String(error);
    throw new DaemonError("tls_invalid", `cannot use the certificate and its key: ${state}`, { cause: error });
  }
}

/** The first signal stops in good order, the second at once. @returns a signal that aborts with the first */
function stopOnSignals(
  daemon: Daemon,
  { log, beforehand }: { log: Logger; beforehand: () => Promise<void> },
): AbortSignal {
  const stopping = new AbortController();
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(status);
      stopping.abort();
      log.info({ signal }, "stopping");
      setTimeout(() => process.exit(EXIT_FAILURE), STOP_MS).unref();
      void beforehand();
      daemon.stop(GRACE_MS).then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, "cannot stop in good order");
          process.exit(EXIT_FAILURE);
        },
      );
    });
  }
  return stopping.signal;
}

function isUsage(error: unknown): boolean {
  return error instanceof DaemonError && error.code !== "listen_failed";
}

await main();
