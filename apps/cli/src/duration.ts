import { InvalidArgumentError } from "commander";

const UNITS_MS: readonly (readonly [unit: string, milliseconds: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
];

/** `90s`, `10m`, `1h`, `2d`, or a plain count of seconds: milliseconds. */
export function parseDuration(text: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  if (digits === "") throw new InvalidArgumentError("expected a time, as 90s, 10m, 1h or 2d");
  return Number(digits) * (UNITS_MS.find(([name]) => name === unit)?.[1] ?? 1000);
}

/** In the largest unit that gives a whole number. */
export function formatDuration(milliseconds: number): string {
  for (const [unit, size] of UNITS_MS) {
    if (milliseconds >= size && milliseconds % size === 0) return `${milliseconds / size}${unit}`;
  }
  return `${milliseconds / 1000}s`;
}
