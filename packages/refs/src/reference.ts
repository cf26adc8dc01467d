import { type Digest, parseDigest } from "./digest.js";
import { RefsError } from "./errors.js";
import { quote } from "./quotation.js";

/** The name of an image, complete: no part is implied (grammar of the Distribution project's reference package). */
export interface Reference {
  /** Host and optional port as written, `docker.io` for Docker Hub. */
  readonly domain: string;
  /** The repository within its registry, `library/alpine`; at most {@link MAX_PATH_LENGTH} characters. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

export const MAX_PATH_LENGTH = 255;
export const MAX_TAG_LENGTH = 128;

/** What a reference without tag and digest means. */
export const DEFAULT_TAG = "latest";

const DEFAULT_DOMAIN = "docker.io";
const LEGACY_DEFAULT_DOMAIN = "index.docker.io";
const OFFICIAL_PREFIX = "library/";

const BARE_HEX = /^[0-9a-f]{64}$/;
const DOMAIN_LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/;
const IPV6_HOST = /^\[[0-9A-Fa-f:]+\]$/;
const PORT = /^[0-9]+$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/**
 * Reads what a person types, the way Docker does: `alpine` is `docker.io/library/alpine`; the first component is a host
 * if and only if it is `localhost` or has a dot, a colon or an upper-case letter. A tag beside a digest is kept. Linear in the text's length.
 *
 * @throws {RefsError} `reference_empty`, `reference_uppercase`, `reference_too_long`, `reference_tag`, or `reference_format`
 * for all else, 64 bare hex digits included; `digest_invalid` and `digest_unsupported` for what follows an `@`.
 */
export function parseReference(text: string): Reference {
  if (text === "") throw new RefsError("reference_empty", "cannot parse reference: it is empty");
  if (BARE_HEX.test(text)) fail("reference_format", text, "64 hex digits are an identifier, not a name");

  const { domain, remainder } = splitDomain(text);
  const { name: tagged, after: digestText } = cut(remainder, "@");
  const { name, after: tag } = cut(tagged, ":");
  const path = domain === DEFAULT_DOMAIN && !name.includes("/") ? OFFICIAL_PREFIX + name : name;

  if (!isDomain(domain)) fail("reference_format", text, `${quote(domain)} is not a host`);
  checkPath(path, text);
  if (tag !== undefined) checkTag(tag, text);
  return {
    domain,
    path,
    ...(tag !== undefined && { tag }),
    ...(digestText !== undefined && { digest: parseDigest(digestText) }),
  };
}

/** The complete form, `domain/path[:tag][@digest]`; {@link parseReference} gives the same reference back. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** The shortest form that {@link parseReference} reads as the same reference: `alpine:3.20`. */
export function familiarReference(reference: Reference): string {
  const { domain, path } = reference;
  if (domain !== DEFAULT_DOMAIN) return formatReference(reference);
  const isOfficial = path.startsWith(OFFICIAL_PREFIX) && !path.includes("/", OFFICIAL_PREFIX.length);
  const short = isOfficial ? path.slice(OFFICIAL_PREFIX.length) : path;
  const meansTheSame = !BARE_HEX.test(short) && (!short.includes("/") || !startsWithHost(short));
  return meansTheSame ? short + suffix(reference) : formatReference(reference);
}

/** Adds the tag {@link DEFAULT_TAG} to a reference that has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  const isPinned = reference.tag !== undefined || reference.digest !== undefined;
  return isPinned ? reference : { ...reference, tag: DEFAULT_TAG };
}

/** Whether the text can stand as a tag: 1 to {@link MAX_TAG_LENGTH} of `A-Z a-z 0-9 _ . -`, the first neither `.` nor `-`. */
export function isTag(text: string): boolean {
  return text.length <= MAX_TAG_LENGTH && TAG.test(text);
}

function splitDomain(text: string): { domain: string; remainder: string } {
  if (!text.includes("/") || !startsWithHost(text)) return { domain: DEFAULT_DOMAIN, remainder: text };
  const slash = text.indexOf("/");
  const first = text.slice(0, slash);
  return { domain: first === LEGACY_DEFAULT_DOMAIN ? DEFAULT_DOMAIN : first, remainder: text.slice(slash + 1) };
}

function startsWithHost(text: string): boolean {
  const first = text.slice(0, text.indexOf("/"));
  return first === "localhost" || /[.:A-Z]/.test(first);
}

function isDomain(domain: string): boolean {
  const portAt = domain.startsWith("[") ? domain.indexOf("]") + 1 : domain.indexOf(":");
  const hasPort = portAt > 0 && portAt < domain.length;
  const host = hasPort ? domain.slice(0, portAt) : domain;
  if (hasPort && (domain[portAt] !== ":" || !PORT.test(domain.slice(portAt + 1)))) return false;
  return IPV6_HOST.test(host) || host.split(".").every((label) => DOMAIN_LABEL.test(label));
}

function checkPath(path: string, text: string): void {
  if (path.length > MAX_PATH_LENGTH) {
    fail("reference_too_long", text, `the repository has ${path.length} characters, the limit is ${MAX_PATH_LENGTH}`);
  }
  if (/[A-Z]/.test(path)) fail("reference_uppercase", text, "the repository must be lower case");
  const bad = path.split("/").find((component) => !PATH_COMPONENT.test(component));
  if (bad !== undefined) fail("reference_format", text, `${quote(bad)} is not a path component`);
}

function checkTag(tag: string, text: string): void {
  if (tag.length > MAX_TAG_LENGTH) {
    fail("reference_tag", text, `the tag has ${tag.length} characters, the limit is ${MAX_TAG_LENGTH}`);
  }
  if (!isTag(tag)) fail("reference_tag", text, `${quote(tag)} is not a tag`);
}

function cut(text: string, separator: string): { name: string; after?: string } {
  const at = text.indexOf(separator);
  return at < 0 ? { name: text } : { name: text.slice(0, at), after: text.slice(at + 1) };
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? "" : `:${tag}`) + (digest === undefined ? "" : `@${digest}`);
}

function fail(
  code: "reference_format" | "reference_too_long" | "reference_uppercase" | "reference_tag",
  text: string,
  state: string,
): never {
  throw new RefsError(code, `cannot parse reference ${quote(text)}: ${state}`);
}
