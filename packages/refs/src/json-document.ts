import { RefsError } from "./errors.js";
import { quote } from "./quotation.js";

/** The cap on every JSON document of an image, in bytes: what registries commonly allow a manifest. */
export const MAX_DOCUMENT_BYTES: number = 4 * 1024 * 1024;

/** Real manifests and configs nest six deep. */
export const MAX_DOCUMENT_DEPTH = 64;

/** One parsed object and where it stands, for messages: `layers[3]`. Fields are read by name as own properties only. */
export interface JsonObject {
  readonly document: string;
  readonly at: string;
  readonly fields: ReadonlyMap<string, unknown>;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Untrusted bytes to the object they hold. `document` names it in messages: "manifest".
 * @throws {RefsError} `document_too_large`, `document_invalid`
 */
export function readJsonDocument(bytes: Uint8Array, document: string): JsonObject {
  if (bytes.byteLength > MAX_DOCUMENT_BYTES) {
    const state = `it has ${bytes.byteLength} bytes, the limit is ${MAX_DOCUMENT_BYTES}`;
    throw new RefsError("document_too_large", `cannot read ${document}: ${state}`);
  }
  checkDepth(bytes, document);
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch (error) {
    throw new RefsError("document_invalid", `cannot read ${document}: not JSON in UTF-8`, { cause: error });
  }
  return toObject(value, document, "");
}

/** A violation at a field of a document. */
export function invalid(object: JsonObject, name: string, rule: string, cause?: unknown): RefsError {
  const message = `cannot read ${object.document}: ${pathOf(object, name)} ${rule}`;
  return new RefsError("document_invalid", message, cause === undefined ? undefined : { cause });
}

/** Null counts as absent everywhere: Go writes it for empty values. */
export function has(object: JsonObject, name: string): boolean {
  return (object.fields.get(name) ?? undefined) !== undefined;
}

export function requiredString(object: JsonObject, name: string): string {
  const value = optionalString(object, name);
  if (value === undefined) throw invalid(object, name, "is missing");
  return value;
}

export function optionalString(object: JsonObject, name: string): string | undefined {
  const value = object.fields.get(name) ?? undefined;
  if (value !== undefined && typeof value !== "string") throw invalid(object, name, "is not a string");
  return value;
}

export function optionalStrings(object: JsonObject, name: string): readonly string[] | undefined {
  return optionalArray(object, name)?.map((value, index) => {
    if (typeof value !== "string") throw invalid(object, `${name}[${index}]`, "is not a string");
    return value;
  });
}

export function optionalStringMap(object: JsonObject, name: string): Readonly<Record<string, string>> | undefined {
  const map = optionalObject(object, name);
  if (map === undefined) return undefined;
  for (const [key, value] of map.fields) {
    if (typeof value !== "string") throw invalid(object, name, `has a value that is not a string at ${quote(key)}`);
  }
  // fromEntries defines own properties: a key "__proto__" stays a key.
  return Object.fromEntries(map.fields) as Record<string, string>;
}

export function optionalObject(object: JsonObject, name: string): JsonObject | undefined {
  const value = object.fields.get(name) ?? undefined;
  return value === undefined ? undefined : toObject(value, object.document, pathOf(object, name));
}

/** An array of objects; absent counts as empty. */
export function objects(object: JsonObject, name: string, limit: number): JsonObject[] {
  const values = optionalArray(object, name) ?? [];
  if (values.length > limit) throw invalid(object, name, `has ${values.length} members, the limit is ${limit}`);
  return values.map((value, index) => toObject(value, object.document, `${pathOf(object, name)}[${index}]`));
}

function optionalArray(object: JsonObject, name: string): readonly unknown[] | undefined {
  const value = object.fields.get(name) ?? undefined;
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw invalid(object, name, "is not an array");
  return value;
}

function toObject(value: unknown, document: string, at: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RefsError("document_invalid", `cannot read ${document}: ${at === "" ? "it" : at} is not an object`);
  }
  return { document, at, fields: new Map(Object.entries(value)) };
}

function pathOf({ at }: JsonObject, name: string): string {
  return at === "" ? name : `${at}.${name}`;
}

/** Counts brackets outside strings before anything is parsed, so that no reader, recursive or not, ever sees a deep document. */
function checkDepth(bytes: Uint8Array, document: string): void {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (inString) {
      if (byte === 0x5c) index++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) depth--;
    if (depth > MAX_DOCUMENT_DEPTH) {
      throw new RefsError("document_invalid", `cannot read ${document}: it nests deeper than ${MAX_DOCUMENT_DEPTH}`);
    }
  }
}
