import { LayerFormatError } from "../errors.js";

/** More than any entry with all its attributes needs. */
const MAX_DEPTH = 16;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

export interface TocScan {
  readonly version: unknown;
  /** Parses one entry at a time, so that a table of millions of empty ones costs no memory. */
  readonly entries: Generator;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Takes the JSON of a table of contents apart: `{ "version": …, "entries": [ … ] }` and what else there may be.
 * @throws {LayerFormatError} `toc_invalid` for what is no JSON in UTF-8 or has another shape; of entries, as they are taken.
 */
export function scanToc(json: Uint8Array): TocScan {
  const cursor = new JsonCursor(json);
  let version: unknown;
  let entriesAt: number | undefined;
  cursor.expect("{");
  for (let more = !cursor.accept("}"); more; more = !cursor.closes("}")) {
    const key = cursor.parse();
    if (typeof key !== "string") throw notJson();
    cursor.expect(":");
    if (key === "entries") {
      if (entriesAt !== undefined) throw invalid("it has its entries twice");
      entriesAt = cursor.position();
      cursor.skip();
    } else if (key === "version") version = cursor.parse();
    else cursor.skip();
  }
  cursor.expectEnd();
  return { version, entries: scanEntries(json, entriesAt) };
}

function* scanEntries(json: Uint8Array, at: number | undefined): Generator {
  if (at === undefined) throw invalid("it has no entries");
  const cursor = new JsonCursor(json, at);
  // Go writes null for an empty list.
  if (!cursor.accept("[")) {
    if (cursor.parse() !== null) throw invalid("its entries are not an array");
    return;
  }
  for (let more = !cursor.accept("]"); more; more = !cursor.closes("]")) yield cursor.parse();
}

/** Walks over JSON without building what it says. */
class JsonCursor {
  readonly #json: Uint8Array;
  #at: number;

  constructor(json: Uint8Array, at = 0) {
    this.#json = json;
    this.#at = at;
  }

  position(): number {
    return this.#at;
  }

  accept(character: string): boolean {
    this.#skipSpace();
    if (this.#json[this.#at] !== character.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  expect(character: string): void {
    if (!this.accept(character)) throw notJson();
  }

  expectEnd(): void {
    this.#skipSpace();
    if (this.#at !== this.#json.length) throw notJson();
  }

  /** After a member: true at the end of what holds it, false after the comma before the next. */
  closes(end: string): boolean {
    if (this.accept(end)) return true;
    this.expect(",");
    return false;
  }

  /** The value that follows. */
  parse(): unknown {
    this.#skipSpace();
    const start = this.#at;
    this.skip();
    try {
      return JSON.parse(UTF8.decode(this.#json.subarray(start, this.#at)));
    } catch (error) {
      throw notJson(error);
    }
  }

  /** Passes the value that follows, which is checked for no more than its brackets and strings. */
  skip(): void {
    this.#skipSpace();
    const start = this.#at;
    let depth = 0;
    while (this.#at < this.#json.length) {
      const byte = this.#json[this.#at] ?? 0;
      if (depth === 0 && this.#at > start && (isSpace(byte) || byte === COMMA || byte === COLON || isClosing(byte)))
        break;
      if (byte === QUOTE) this.#skipString();
      else this.#at++;
      if (byte === 0x7b || byte === 0x5b) depth++;
      else if (isClosing(byte)) depth--;
      if (depth > MAX_DEPTH) throw invalid(`it nests deeper than ${MAX_DEPTH}`);
      if (depth < 0) throw notJson();
      if (depth === 0 && (byte === QUOTE || isClosing(byte))) break;
    }
    if (depth !== 0 || this.#at === start) throw notJson();
  }

  #skipString(): void {
    const json = this.#json;
    let at = this.#at + 1;
    while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1;
    if (at >= json.length) throw notJson();
    this.#at = at + 1;
  }

  #skipSpace(): void {
    while (isSpace(this.#json[this.#at] ?? 0)) this.#at++;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isClosing(byte: number): boolean {
  return byte === 0x7d || byte === 0x5d;
}

function notJson(cause?: unknown): LayerFormatError {
  return invalid("it is not JSON in UTF-8", cause);
}

function invalid(rule: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("toc_invalid", `cannot read the table of contents: ${rule}`, { cause });
}
