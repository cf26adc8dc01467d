import type { Writable } from "node:stream";

import type { GlobalOptions } from "./options.js";

export interface Result {
  readonly json: unknown;
  text(): string;
}

/** The result of a command, in the form that was asked for. */
export function printResult(options: GlobalOptions, stream: Writable, result: Result): void {
  stream.write(options.json ? `${JSON.stringify(result.json)}\n` : result.text());
}

/** Something worth knowing that is not the result: to stderr, unless `--quiet`. */
export function note(options: GlobalOptions, text: string): void {
  if (!options.quiet) process.stderr.write(`${text}\n`);
}

/** Rows in columns, all but the last padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** Writes to stdout at the reader's pace. */
export async function writeOut(chunk: Uint8Array | string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
