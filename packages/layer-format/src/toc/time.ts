import type { TarTime } from "../tar/number.js";

/** RFC 3339, and the years of more or fewer digits than four that Go writes. */
const TIME = /^(-?\d{3,9})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:Z|([+-])(\d\d):(\d\d))$/;
/** As nearly all are: read without a match, whose parts would be most of the cost. */
const WHOLE_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const DAY_SECONDS = 86_400;
/** Days from 0000-03-01 to 1970-01-01, and in the 400 years after which the calendar repeats. */
const EPOCH_DAYS = 719_468;
const ERA_DAYS = 146_097;
const ZERO = 0x30;

/** A time of a table of contents; undefined if it is none. */
export function parseTocTime(text: string): TarTime | undefined {
  if (WHOLE_UTC.test(text)) {
    const two = (at: number): number => 10 * text.charCodeAt(at) + text.charCodeAt(at + 1) - 11 * ZERO;
    const seconds = secondsOf(100 * two(0) + two(2), two(5), two(8), two(11), two(14), two(17));
    return seconds === undefined ? undefined : { seconds, nanoseconds: 0 };
  }
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const number = (index: number): number => Number(match[index] ?? 0);
  const seconds = secondsOf(number(1), number(2), number(3), number(4), number(5), number(6));
  if (seconds === undefined) return undefined;
  const zone = (match[8] === "-" ? -1 : 1) * (60 * number(9) + number(10));
  return { seconds: seconds - 60 * zone, nanoseconds: Number((match[7] ?? "").slice(0, 9).padEnd(9, "0")) };
}

function secondsOf(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number | undefined {
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return undefined;
  return DAY_SECONDS * daysOf(year, month, day) + 3600 * hour + 60 * minute + second;
}

/** A time with the least fraction that is exact. Years are given as many digits as they need, although others read four only. */
export function formatTocTime({ seconds, nanoseconds }: TarTime): string {
  const days = Math.floor(seconds / DAY_SECONDS);
  const rest = seconds - days * DAY_SECONDS;
  const clock = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60]
    .map((part) => digits(part, 2))
    .join(":");
  const fraction = nanoseconds === 0 ? "" : `.${digits(nanoseconds, 9).replace(/0+$/, "")}`;
  return `${dateOf(days)}T${clock}${fraction}Z`;
}

/** Days since 1970-01-01 in the Gregorian calendar, whose year is taken to begin in March so that the leap day comes last. */
function daysOf(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  return (
    era * ERA_DAYS + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - EPOCH_DAYS
  );
}

function dateOf(days: number): string {
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / ERA_DAYS);
  const dayOfEra = shifted - era * ERA_DAYS;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${year < 0 ? "-" : ""}${digits(Math.abs(year), 4)}-${digits(month, 2)}-${digits(day, 2)}`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}
