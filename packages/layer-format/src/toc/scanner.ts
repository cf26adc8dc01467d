import { LayerFormatError } from "../errors.js";

/** More than any entry with all its attributes needs. */
const MAX_DEPTH = 16;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

export interface TocSink {
  /** What the table calls its version, undefined if nothing. Told before the entries where the table says it before them. */
  version(version: unknown): void;
  /** In order; few at a time are in memory, so that a table of millions of empty ones costs none. */
  entry(entry: unknown): void;
}

/** Of entries that are parsed at a time: JSON is read ten times as fast so. */
const BATCH_BYTES = 64 * 1024;
/** Ends that are tried before it is read value by value. */
const BATCH_ATTEMPTS = 8;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const OPENING_BRACKET = 0x5b;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Takes the JSON of a table of contents apart: `{ "version": …, "entries": [ … ] }` and what else there may be.
 * @throws {LayerFormatError} `toc_invalid` for what is no JSON in UTF-8 or has another shape. Errors of the sink pass as they are.
 */
export function scanToc(json: Uint8Array, sink: TocSink): void {
  const cursor = new JsonCursor(json);
  let hasVersion = false;
  let hasEntries = false;
  cursor.expect("{");
  for (let more = !cursor.accept("}"); more; more = !cursor.closes("}")) {
    const key = cursor.parse();
    if (typeof key !== "string") throw notJson();
    cursor.expect(":");
    if (key === "entries") {
      if (hasEntries) throw invalid("it has its entries twice");
      hasEntries = true;
      scanEntries(cursor, sink);
    } else if (key === "version") {
      hasVersion = true;
      sink.version(cursor.parse());
    } else cursor.skip();
  }
  cursor.expectEnd();
  if (!hasVersion) sink.version(undefined);
  if (!hasEntries) throw invalid("it has no entries");
}

function scanEntries(cursor: JsonCursor, sink: TocSink): void {
  // Go writes null for an empty list.
  if (!cursor.accept("[")) {
    if (cursor.parse() !== null) throw invalid("its entries are not an array");
    return;
  }
  if (cursor.accept("]")) return;
  do {
    for (let batch = cursor.parseBatch(); batch !== undefined; batch = cursor.parseBatch()) {
      for (const entry of batch) sink.entry(entry);
    }
    sink.entry(cursor.parse());
  } while (!cursor.closes("]"));
}

/** Walks over JSON without building what it says. */
class JsonCursor {
  readonly #json: Uint8Array;
  #at = 0;
  /** Up to here a batch was tried in vain. */
  #singlyUntil = 0;

  constructor(json: Uint8Array) {
    this.#json = json;
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

  /**
   * Of an array the next values, and the comma behind them; undefined if it has to be read value by value. What is parsed begins and ends where values do: text that
   * is a list of values up to a comma can be none other.
   */
  parseBatch(): unknown[] | undefined {
    const start = this.#at;
    if (start < this.#singlyUntil) return undefined;
    const window = this.#json.subarray(start, start + BATCH_BYTES);
    let end = window.length;
    for (let attempt = 0; attempt < BATCH_ATTEMPTS && end > 0; attempt++) {
      end = window.lastIndexOf(CLOSING_BRACE, end - 1) + 1;
      this.#at = start + end;
      // A brace that ends no entry, but something within one, is followed by something else.
      if (end === 0 || !this.accept(",")) continue;
      const text = window.subarray(0, end);
      const values = parseList(text);
      if (values !== undefined && (isFlat(text, values) || values.every((value) => !isDeeper(value, MAX_DEPTH))))
        return values;
    }
    this.#at = start;
    this.#singlyUntil = start + BATCH_BYTES;
    return undefined;
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

function parseList(json: Uint8Array): unknown[] | undefined {
  try {
    return JSON.parse(`[${UTF8.decode(json)}]`) as unknown[];
  } catch {
    // Whoever reads it value by value says what is wrong, or finds nothing.
    return undefined;
  }
}

/** Whether a list's JSON shows at a glance that nothing nests in its values: it has no more brackets than there are of them. */
function isFlat(json: Uint8Array, values: readonly unknown[]): boolean {
  let count = 0;
  for (let at = json.indexOf(OPENING_BRACE); at >= 0; at = json.indexOf(OPENING_BRACE, at + 1)) count++;
  return count <= values.length && !json.includes(OPENING_BRACKET);
}

/** Whether objects and arrays nest deeper than `depth`. */
function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], depth - 1)) return true;
  return false;
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
