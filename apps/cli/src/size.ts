import { InvalidArgumentError } from "commander";

const FACTOR: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `512M`, `10G`, `4096`: a count of bytes, the suffixes being powers of 1024. */
export function parseSize(text: string): number {
  const [, digits = "", suffix = ""] = /^(\d{1,15}(?:\.\d{1,3})?)([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * (FACTOR[suffix.toUpperCase()] ?? Number.NaN);
  if (digits === "" || !Number.isSafeInteger(bytes)) throw new InvalidArgumentError("expected bytes, as 512M or 10G");
  return bytes;
}

/** A whole number from 0. */
export function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `1.2 GiB`: for people. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`;
}
