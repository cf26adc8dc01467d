import { STRING_BYTES_MAX } from "./protocol.js";

/** The data of `NBD_OPT_INFO` and `NBD_OPT_GO`. */
export interface InfoRequest {
  readonly name: string;
  readonly wanted: ReadonlySet<number>;
}

/** The data of `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`. */
export interface MetaContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** Undefined for data that is not what it has to be. */
export function parseInfoRequest(data: Buffer): InfoRequest | undefined {
  const name = stringAt(data, 0);
  if (name === undefined || data.length < name.end + 2) return undefined;
  const count = data.readUInt16BE(name.end);
  const list = data.subarray(name.end + 2);
  if (list.length !== 2 * count) return undefined;
  const wanted = Array.from({ length: count }, (_, index) => list.readUInt16BE(2 * index));
  return { name: name.text, wanted: new Set(wanted) };
}

/** Undefined for data that is not what it has to be. */
export function parseMetaContextRequest(data: Buffer): MetaContextRequest | undefined {
  const name = stringAt(data, 0);
  if (name === undefined || data.length < name.end + 4) return undefined;
  const count = data.readUInt32BE(name.end);
  const queries: string[] = [];
  let end = name.end + 4;
  while (end < data.length) {
    const query = stringAt(data, end);
    if (query === undefined) return undefined;
    queries.push(query.text);
    ({ end } = query);
  }
  return queries.length === count ? { name: name.text, queries } : undefined;
}

/** A string that is all of its option. */
export function parseString(bytes: Buffer): string | undefined {
  if (bytes.length > STRING_BYTES_MAX || bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** A string after its length. */
function stringAt(data: Buffer, at: number): { text: string; end: number } | undefined {
  if (data.length < at + 4) return undefined;
  const end = at + 4 + data.readUInt32BE(at);
  if (end > data.length) return undefined;
  const text = parseString(data.subarray(at + 4, end));
  return text === undefined ? undefined : { text, end };
}
