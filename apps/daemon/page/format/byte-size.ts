const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `0 B`, `1.5 KiB`, `312 MiB`: three digits, as a person takes them in. */
export function byteSize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  // 999.5 KiB would read 1,000 KiB
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `97.3 %`; never 100 of what is not the whole, nor 0 of what is something. */
export function percent(part: number): string {
  if (part > 0 && part < 0.001) return "< 0.1 %";
  if (part < 1 && part > 0.999) return "> 99.9 %";
  return `${(100 * part).toFixed(part === 1 || part === 0 ? 0 : 1)} %`;
}

export function count(many: number, one: string, several: string = `${one}s`): string {
  return `${many.toLocaleString("en")} ${many === 1 ? one : several}`;
}
