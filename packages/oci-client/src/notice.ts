import { redact } from "./redaction.js";
import type { ResponseHeaders } from "./transport.js";

/** What a registry says beside its answers. */
export type Notice =
  /** How much of an allowance is left, where the registry tells (`ratelimit-limit`, `ratelimit-remaining`). */
  | {
      readonly kind: "rate_limit";
      readonly host: string;
      readonly limit?: number;
      readonly remaining?: number;
      /** The allowance is for so many seconds. */
      readonly windowSeconds?: number;
    }
  /** A text for the user (distribution-spec, "Warnings"). Untrusted: escape it before it is shown. */
  | { readonly kind: "warning"; readonly host: string; readonly text: string }
  /** The host asked to be spared for so long; requests to it wait, up to the cap of the retry policy. */
  | { readonly kind: "throttled"; readonly host: string; readonly waitMs: number }
  /** A mirror could not serve and the next source is asked. */
  | { readonly kind: "mirror_failed"; readonly host: string; readonly error: unknown };

/** Told of notices as they come; each warning of a host once. Must not throw. */
export type OnNotice = (notice: Notice) => void;

const MAX_WARNING_BYTES = 4096;
const MAX_WARNINGS = 100;
const WARNING = /299 (?:-|[^\s",]{1,256}) "((?:[^"\\]|\\.){0,4096})"/g;

/** Reads the notices in the headers of an answer. */
export function readNotices(host: string, headers: ResponseHeaders): Notice[] {
  const notices: Notice[] = [];
  const limit = readAllowance(headers.get("ratelimit-limit"));
  const remaining = readAllowance(headers.get("ratelimit-remaining"));
  if (limit !== undefined || remaining !== undefined) {
    const windowSeconds = limit?.windowSeconds ?? remaining?.windowSeconds;
    notices.push({
      kind: "rate_limit",
      host,
      ...(limit !== undefined && { limit: limit.count }),
      ...(remaining !== undefined && { remaining: remaining.count }),
      ...(windowSeconds !== undefined && { windowSeconds }),
    });
  }
  const warnings = headers.get("warning")?.slice(0, MAX_WARNING_BYTES) ?? "";
  for (const [, text = ""] of warnings.matchAll(WARNING)) {
    notices.push({ kind: "warning", host, text: redact(text.replaceAll(/\\(.)/g, "$1")) });
  }
  return notices;
}

/** Passes each warning of a host on once: a registry sends it with every answer. */
export function withoutRepetition(onNotice: OnNotice): OnNotice {
  const seen = new Set<string>();
  return (notice) => {
    if (notice.kind === "warning") {
      const key = `${notice.host} ${notice.text}`;
      if (seen.has(key) || seen.size >= MAX_WARNINGS) return;
      seen.add(key);
    }
    onNotice(notice);
  };
}

/** `100;w=21600`: a count, and the seconds that it is for. */
function readAllowance(value: string | null): { count: number; windowSeconds?: number } | undefined {
  const match = /^\s{0,8}([0-9]{1,15})(?:\s{0,8};\s{0,8}w=([0-9]{1,15}))?/.exec(value ?? "");
  if (match === null) return undefined;
  return { count: Number(match[1]), ...(match[2] !== undefined && { windowSeconds: Number(match[2]) }) };
}
