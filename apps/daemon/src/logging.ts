import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

import type { ManagerHooks } from "@lamella/image-store";

import type { Settings } from "./read-settings.js";

export type { Logger } from "pino";

export interface LogOptions {
  readonly level: Settings["logLevel"];
  /** Never in a line, whoever has put it there. */
  readonly secrets?: readonly string[];
  readonly destination?: DestinationStream;
}

/** Lines of JSON, to stderr. */
export function createLog({ level, secrets = [], destination = toStderr() }: LogOptions): Logger {
  const options = {
    level,
    base: null,
    messageKey: "message",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: {
      streamWrite: (line: string) => secrets.reduce((text, secret) => text.replaceAll(secret, "[redacted]"), line),
    },
  };
  return pino(options, destination);
}

export function silentLog(): Logger {
  return pino({ enabled: false });
}

/** One line for the beginning and the end of each phase of a build, with the build's id. */
export function buildLog(log: Logger): ManagerHooks {
  return {
    onPhase({ phase, name, build }) {
      const line = log.child({ build, phase, image: name });
      const isWhole = phase === "build";
      line[isWhole ? "info" : "debug"]("begun");
      return ({ durationMs, outcome, errorCode }) => {
        const level = outcome === "failed" ? "warn" : isWhole ? "info" : "debug";
        line[level]({ outcome, code: errorCode, durationMs: Math.round(durationMs) }, "ended");
      };
    },
  };
}

/** At once: what is said last, before an end, is said. */
function toStderr(): DestinationStream {
  return pino.destination({ fd: 2, sync: true });
}
