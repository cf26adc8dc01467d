/** One challenge of a `WWW-Authenticate` header (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BLANK = /[ \t]*/y;
const SEPARATORS = /[ \t,]*/y;
const REST = /[^,]*/y;
const MAX_HEADER_LENGTH = 16 * 1024;

/** Reads every challenge of the header's value, as of several headers that were joined; stops, without an error, at what is not one. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const text = header.slice(0, MAX_HEADER_LENGTH);
  let parameters = new Map<string, string>();
  let position = 0;

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match !== null) position = pattern.lastIndex;
    return match;
  }

  for (;;) {
    take(SEPARATORS);
    const word = take(TOKEN)?.[0].toLowerCase();
    if (word === undefined) return challenges;
    take(BLANK);
    if (text[position] === "=" && challenges.length > 0) {
      position++;
      take(BLANK);
      const quoted = take(QUOTED)?.[1]?.replaceAll(/\\(.)/g, "$1");
      const value = quoted ?? take(TOKEN)?.[0];
      // A scheme may have one value without a name instead: `Negotiate abc==`.
      if (value === undefined) take(REST);
      else parameters.set(word, value);
    } else {
      parameters = new Map();
      challenges.push({ scheme: word, parameters });
    }
  }
}
