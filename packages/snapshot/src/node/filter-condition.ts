import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";

const FIELDS = ["name", "parent", "kind", "labels"] as const;
export type SnapshotField = (typeof FIELDS)[number];

/** `labels."a.b"~=^x` as it is written; without an operator the field has to be there. */
export interface Condition {
  readonly path: readonly string[];
  readonly operator: "==" | "!=" | "~=" | undefined;
  readonly value: string;
  /** Where the text goes on. */
  readonly end: number;
}

const SPACE = /\s*/uy;
const NAME = /[A-Za-z0-9_]+/uy;
const OPERATOR = /==|!=|~=/uy;
const PLAIN_VALUE = /[^\s,"][^\s,]*/uy;
const QUOTED = /"(?:[^"\\\n]|\\[^\n])*"/uy;
/** A regular expression may also stand between slashes or bars, where a backslash is its own. */
const QUOTED_PATTERN = /\/(?:[^/\\\n]|\\[^\n])*\/|\|(?:[^|\\\n]|\\[^\n])*\|/uy;

const ESCAPE = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([^]))/gu;
const ESCAPED: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", '"': '"' };

export function isField(name: string): name is SnapshotField {
  return FIELDS.some((field) => field === name);
}

/** Reads one condition of a filter. @throws {SnapshotError} `invalid_argument` */
export function readCondition(text: string, start: number): Condition {
  let at = start;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const takeQuoted = (): string | undefined => {
    const found = take(QUOTED);
    return found === undefined ? undefined : unescape(text, found.slice(1, -1));
  };
  const takePattern = (): string | undefined => {
    const found = take(QUOTED_PATTERN);
    return found?.slice(1, -1).replaceAll(`\\${found[0]}`, found[0] ?? "");
  };

  const path: string[] = [];
  do {
    take(SPACE);
    const name = take(NAME) ?? takeQuoted();
    if (name === undefined) throw refuseFilter(text, `a field is missing at character ${at + 1}`);
    path.push(name);
  } while (text[at] === "." && ++at > 0);
  take(SPACE);
  const operator = take(OPERATOR) as Condition["operator"];
  if (operator === undefined) return { path, operator, value: "", end: at };

  take(SPACE);
  const value = takeQuoted() ?? (operator === "~=" ? takePattern() : undefined) ?? take(PLAIN_VALUE);
  if (value === undefined) throw refuseFilter(text, `a value is missing at character ${at + 1}`);
  take(SPACE);
  return { path, operator, value, end: at };
}

function unescape(text: string, quoted: string): string {
  return quoted.replaceAll(ESCAPE, (escape, hex?: string, unicode?: string, character?: string) => {
    const code = hex ?? unicode;
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    const meant = ESCAPED[character ?? ""];
    if (meant === undefined) throw refuseFilter(text, `${quote(escape)} is no escape`);
    return meant;
  });
}

/** The error for a filter that cannot be read. */
export function refuseFilter(text: string, state: string, options?: ErrorOptions): SnapshotError {
  return new SnapshotError("invalid_argument", `cannot read filter ${quote(text)}: ${state}`, options);
}
