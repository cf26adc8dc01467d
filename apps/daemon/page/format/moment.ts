const STEPS = [
  { unit: "second", seconds: 1, below: 60 },
  { unit: "minute", seconds: 60, below: 3600 },
  { unit: "hour", seconds: 3600, below: 86_400 },
  { unit: "day", seconds: 86_400, below: 86_400 * 30 },
] as const;

const ago = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });

/** `5 min. ago`; the day of what is older than a month. */
export function sinceThen(time: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(time)) / 1000));
  if (seconds < 5) return "just now";
  const step = STEPS.find(({ below }) => seconds < below);
  return step === undefined ? time.slice(0, 10) : ago.format(-Math.floor(seconds / step.seconds), step.unit);
}

/** `1.2 s`, `3 min 20 s`, `2 h 5 min` */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (ms < 9950) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** `2024-05-01 12:34:56 UTC` */
export function exactTime(time: string): string {
  return time.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
}
