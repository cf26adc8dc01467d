import { execFile } from "node:child_process";
import { promisify } from "node:util";

import type { Logger } from "./logging.js";

type Environment = Record<string, string | undefined>;

/** Where systemd puts the sockets that it has bound (sd_listen_fds(3)). */
const FIRST_FD = 3;
const MAX_FDS = 16;
const NOTIFY_TIMEOUT_MS = 5000;
const MICROSECONDS = 1000;

/** The sockets that systemd has bound for this process; the variables that tell so are removed, for they are not for its children. */
export function takeActivatedSockets(environment: Environment, pid: number): number[] {
  const { LISTEN_PID: whose, LISTEN_FDS: count } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (Number(whose) !== pid) return [];
  const fds = Math.min(Number(count) || 0, MAX_FDS);
  return Array.from({ length: fds }, (_, at) => FIRST_FD + at);
}

/** Tells the service manager how the daemon is (sd_notify(3)); nobody where there is none. */
export interface ServiceManager {
  tell(state: "READY=1" | "STOPPING=1" | "WATCHDOG=1"): Promise<void>;
  /** How often it wants to hear that the daemon is alive. */
  readonly watchdogMs: number | undefined;
}

/** Node has no datagram sockets of the unix kind: systemd's own program does it, for which the unit needs `NotifyAccess=all`. */
export function findServiceManager(environment: Environment, pid: number, log: Logger): ServiceManager {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: microseconds, WATCHDOG_PID: whose } = environment;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
  if (!socket) return { tell: async () => {}, watchdogMs: undefined };
  const watchdogMs = Number(microseconds) / MICROSECONDS;
  const isWatched = watchdogMs > 0 && (whose === undefined || Number(whose) === pid);
  return {
    async tell(state) {
      try {
        const env = { PATH: environment["PATH"], NOTIFY_SOCKET: socket };
        await promisify(execFile)("systemd-notify", [state], { env, timeout: NOTIFY_TIMEOUT_MS });
      } catch (error) {
        log.warn({ err: error }, `cannot tell systemd ${state}`);
      }
    },
    watchdogMs: isWatched ? watchdogMs : undefined,
  };
}

/**
 * Pings at half of the interval for as long as the daemon is well: this timer runs only while the event loop does, and `isWell` asks what else has to
 * answer. Disposing of it ends it.
 */
export function startWatchdog(manager: ServiceManager, isWell: (signal: AbortSignal) => Promise<void>): Disposable {
  const { watchdogMs } = manager;
  if (watchdogMs === undefined) return { [Symbol.dispose]: () => {} };
  const everyMs = watchdogMs / 2;
  let isAsking = false;
  const ping = async (): Promise<void> => {
    if (isAsking) return;
    isAsking = true;
    try {
      await isWell(AbortSignal.timeout(everyMs));
      await manager.tell("WATCHDOG=1");
    } catch {
      // silence is what systemd listens for
    } finally {
      isAsking = false;
    }
  };
  const timer = setInterval(() => void ping(), everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
