import { LamellaError } from "@lamella/refs";

/**
 * The time that SOURCE_DATE_EPOCH asks for, in seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch/).
 * @throws {LamellaError} `option_invalid`
 */
export function sourceDateEpoch({ SOURCE_DATE_EPOCH: text }: NodeJS.ProcessEnv): number | undefined {
  if (text === undefined || text === "") return undefined;
  const seconds = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(seconds)) return seconds;
  const message = `cannot use SOURCE_DATE_EPOCH ${JSON.stringify(text)}: not a count of seconds`;
  throw new LamellaError("option_invalid", message);
}
