import { quote } from "@lamella/refs";

import { OciClientError } from "./errors.js";
import type { Mirror, MirrorCapability } from "./mirrors.js";

/** What a `hosts.toml` says of one registry host. */
export interface HostsConfig {
  /** The registry itself, where it is not the host that the file is for. */
  readonly server?: string;
  /** In the order of the file; for the option `mirrors` of a client. */
  readonly mirrors: readonly Mirror[];
  /** The files, by the host of a mirror, that its TLS needs: for the option `tls` of a client. */
  readonly tlsFiles: ReadonlyMap<string, TlsFiles>;
}

export interface TlsFiles {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

const MAX_LENGTH = 256 * 1024;
const CAPABILITIES: ReadonlySet<unknown> = new Set<MirrorCapability>(["pull", "resolve"]);

type Value = string | boolean | readonly Value[];

/**
 * Reads the subset of containerd's `hosts.toml` that this client can do: `server`, and tables `[host."URL"]` with `capabilities`
 * (`pull` and `resolve`; `push` is passed over, for pushes go to the registry itself), `override_path`, `ca` and `client`. Values are
 * strings, booleans and lists of them on one or more lines. What would change whom is trusted or what is sent (`skip_verify = true`,
 * `header`, any other key) is refused, not passed over.
 * @throws {OciClientError} `config_invalid` with the number of the line
 */
export function parseHostsToml(text: string): HostsConfig {
  if (text.length > MAX_LENGTH) throw invalid(1, `it is over its limit of ${MAX_LENGTH} characters`);
  let server: string | undefined;
  const hosts = new Map<string, Map<string, Value>>();
  let host: Map<string, Value> | undefined;
  for (const { line, content } of statementsOf(text)) {
    const table = /^\[\s*host\s*\.\s*(?:"([^"\\]+)"|'([^']+)')\s*\]$/.exec(content);
    if (table !== null) {
      const name = table[1] ?? table[2] ?? "";
      if (hosts.has(name)) throw invalid(line, `the table of ${quote(name)} is there twice`);
      host = new Map();
      hosts.set(name, host);
      continue;
    }
    const [, key, valueText = ""] = /^([A-Za-z0-9_-]+)\s*=\s*(.+)$/s.exec(content) ?? [];
    if (key === undefined) throw invalid(line, "it is not a key with a value nor a table of a host");
    const value = parseValue(valueText, line);
    if (host === undefined && key === "server" && typeof value === "string") server = value;
    else if (host === undefined || host.has(key) || !isAllowed(key, value))
      throw invalid(line, `${key} is not allowed here`);
    else host.set(key, value);
  }
  const tlsFiles = new Map<string, TlsFiles>();
  const mirrors = [...hosts].map(([url, keys]) => {
    if (!URL.canParse(url)) throw invalid(1, `${quote(url)} is not a URL`);
    const files = tlsFilesOf(keys);
    if (files !== undefined) tlsFiles.set(new URL(url).host, files);
    return toMirror(url, keys);
  });
  return { ...(server !== undefined && { server }), mirrors, tlsFiles };
}

function isAllowed(key: string, value: Value): boolean {
  switch (key) {
    case "capabilities":
      return isStrings(value) && value.every((name) => CAPABILITIES.has(name) || name === "push");
    case "override_path":
      return typeof value === "boolean";
    case "skip_verify":
      return value === false;
    case "ca":
      return typeof value === "string" || isStrings(value);
    case "client":
      return typeof value === "string" || isStrings(value) || isPair(value);
    default:
      return false;
  }
}

/** Without `override_path` containerd puts `/v2` behind the path; this client knows a path only as a prefix of repositories. */
function toMirror(url: string, keys: ReadonlyMap<string, Value>): Mirror {
  const hasPath = new URL(url).pathname !== "/";
  if (hasPath && keys.get("override_path") !== true) throw invalid(1, `${quote(url)} has a path without override_path`);
  const capabilities = (keys.get("capabilities") ?? ["pull", "resolve"]) as readonly string[];
  return { url, capabilities: capabilities.filter((name): name is MirrorCapability => CAPABILITIES.has(name)) };
}

function tlsFilesOf(keys: ReadonlyMap<string, Value>): TlsFiles | undefined {
  const ca = keys.get("ca");
  const client = keys.get("client");
  if (ca === undefined && client === undefined) return undefined;
  const [cert, key] = (typeof client === "string" ? [client, client] : ((client as Value[] | undefined) ?? [])).flat();
  return {
    ...(ca !== undefined && { ca: typeof ca === "string" ? [ca] : (ca as readonly string[]) }),
    ...(typeof cert === "string" && { cert, key: typeof key === "string" ? key : cert }),
  };
}

function isStrings(value: Value): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** `[["cert", "key"]]`: one pair, as each host has one identity. */
function isPair(value: Value): boolean {
  if (typeof value !== "object" || value.length !== 1) return false;
  const [pair] = value;
  return pair !== undefined && isStrings(pair) && pair.length === 2;
}

/** Lines without comments; a list that goes on over several of them as one. */
function* statementsOf(text: string): Generator<{ line: number; content: string }> {
  let open: { line: number; content: string } | undefined;
  for (const [index, raw] of text.split("\n").entries()) {
    const content = /^(?:[^#"']|"(?:[^"\\]|\\.)*"|'[^']*')*/.exec(raw.trim())?.[0].trim() ?? "";
    if (content === "" && open === undefined) continue;
    open = open === undefined ? { line: index + 1, content } : { ...open, content: `${open.content} ${content}` };
    const isTable = open.content.startsWith("[");
    if (!isTable && depthOf(open.content) > 0) continue;
    yield open;
    open = undefined;
  }
  if (open !== undefined) throw invalid(open.line, "the list has no end");
}

function depthOf(content: string): number {
  const bare = content.replaceAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "");
  return bare.split("[").length - bare.split("]").length;
}

/** A TOML list is a JSON list once its strings are JSON's and its last comma is gone. */
function parseValue(text: string, line: number): Value {
  const json = text
    .trim()
    .replaceAll(/"(?:[^"\\]|\\.)*"|'([^']*)'|,(?=\s*\])/g, (part, literal: string | undefined) =>
      literal !== undefined ? JSON.stringify(literal) : part === "," ? "" : part,
    );
  try {
    const value = JSON.parse(json) as unknown;
    if (isValue(value, 0)) return value;
  } catch {
    // Not of the subset either way.
  }
  throw invalid(line, "its value is not a string, a boolean or a list");
}

function isValue(value: unknown, depth: number): value is Value {
  if (typeof value === "string" || typeof value === "boolean") return true;
  return Array.isArray(value) && depth < 2 && value.every((item) => isValue(item, depth + 1));
}

function invalid(line: number, state: string): OciClientError {
  return new OciClientError("config_invalid", `cannot read hosts.toml, line ${line}: ${state}`);
}
