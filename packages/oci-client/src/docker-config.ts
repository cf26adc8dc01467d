import { quote } from "@lamella/refs";

import { matchCredentialKey, parseCredentialKey } from "./credential-key.js";
import type { Credential, CredentialTarget } from "./credentials.js";
import { OciClientError } from "./errors.js";

/**
 * A credentials file of Docker (`config.json`) or Podman (`auth.json`): one format. What is not about credentials is kept and not looked
 * at. Fields are own properties only, so that no key means more than itself.
 *
 *     { "auths": { "ghcr.io": { "auth": base64(name:password) } },
 *       "credHelpers": { "gcr.io": "gcloud" }, "credsStore": "secretservice" }
 */
export interface DockerConfig {
  /** For messages. */
  readonly path: string;
  readonly fields: ReadonlyMap<string, unknown>;
}

/** What a credential helper takes a refresh token under, in place of a user's name. */
export const TOKEN_USER = "<token>";

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Reads the file's bytes. An empty file is an empty configuration.
 * @throws {OciClientError} `credentials_invalid`, without a cause: the parser's own error quotes what it read
 */
export function parseDockerConfig(bytes: Uint8Array, path: string): DockerConfig {
  const text = new TextDecoder().decode(bytes);
  if (text.trim() === "") return { path, fields: new Map() };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(path, "it is not JSON");
  }
  return { path, fields: fieldsOf(value, path, "it") };
}

/** The name of the helper that keeps a target's credential, if one does: `credHelpers` before `credsStore`. */
export function helperFor(config: DockerConfig, target: CredentialTarget): string | undefined {
  const helpers = objectAt(config, "credHelpers");
  const key = matchCredentialKey(helpers.keys(), target);
  const name = key === undefined ? config.fields.get("credsStore") : helpers.get(key);
  if (name === undefined || name === null || name === "") return undefined;
  if (typeof name === "string") return name;
  throw invalid(config.path, `${key === undefined ? "credsStore" : `credHelpers at ${quote(key)}`} is not a string`);
}

/** The credential in the file itself, if there is one: a registry's token before a refresh token before a password, as Docker has it. */
export function credentialFor(config: DockerConfig, target: CredentialTarget): Credential | undefined {
  const auths = objectAt(config, "auths");
  const usable = [...auths].filter(([, entry]) => !isEmpty(entry)).map(([key]) => key);
  const key = matchCredentialKey(usable, target);
  return key === undefined ? undefined : readEntry(auths.get(key), config.path, key);
}

/** The file with a registry's entry set, or removed in all its spellings when there is none. The rest stays. */
export function withEntry(
  config: DockerConfig,
  key: string,
  entry: Readonly<Record<string, string>> | undefined,
): DockerConfig {
  const own = parseCredentialKey(key);
  const isOther = (other: string): boolean => {
    const parsed = parseCredentialKey(other);
    return other !== key && (parsed === undefined || parsed.host !== own?.host || parsed.path !== own.path);
  };
  const auths = new Map([...objectAt(config, "auths")].filter(([other]) => isOther(other)));
  if (entry !== undefined) auths.set(key, entry);
  return { path: config.path, fields: new Map(config.fields).set("auths", Object.fromEntries(auths)) };
}

/**
 * A credential as an entry of `auths`.
 * @throws {OciClientError} `credentials_invalid`
 */
export function toEntry(credential: Credential): Readonly<Record<string, string>> {
  if (credential.kind === "identity") return { identitytoken: credential.token };
  if (credential.kind === "bearer") return { registrytoken: credential.token };
  const { username, password } = credential;
  if (username === "" || username.includes(":")) {
    throw new OciClientError(
      "credentials_invalid",
      `cannot keep the password of ${quote(username)}: such a name has no form`,
    );
  }
  return { auth: Buffer.from(`${username}:${password}`).toString("base64") };
}

/** A name and a secret as a helper gives them and `auth` holds them. */
export function toCredential(username: string, secret: string): Credential {
  return username === TOKEN_USER ? { kind: "identity", token: secret } : { kind: "basic", username, password: secret };
}

export function formatDockerConfig({ fields }: DockerConfig): string {
  return `${JSON.stringify(Object.fromEntries(fields), undefined, "\t")}\n`;
}

function readEntry(entry: unknown, path: string, key: string): Credential | undefined {
  const fields = fieldsOf(entry, path, `auths at ${quote(key)}`);
  const text = (name: string): string => {
    const value = fields.get(name) ?? "";
    if (typeof value !== "string") throw invalid(path, `${name} at ${quote(key)} is not a string`);
    return value;
  };
  if (text("registrytoken") !== "") return { kind: "bearer", token: text("registrytoken") };
  if (text("identitytoken") !== "") return { kind: "identity", token: text("identitytoken") };
  if (text("auth") === "")
    return text("username") === "" ? undefined : toCredential(text("username"), text("password"));
  const decoded = BASE64.test(text("auth")) ? Buffer.from(text("auth"), "base64").toString() : "";
  const colon = decoded.indexOf(":");
  if (colon < 1) throw invalid(path, `auth at ${quote(key)} is not name:password in Base64`);
  // Old versions of Docker padded with zeros.
  return toCredential(decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, ""));
}

/** Docker leaves `{}` behind for what a helper keeps. */
function isEmpty(entry: unknown): boolean {
  if (typeof entry !== "object" || entry === null) return entry === null;
  return !["auth", "username", "identitytoken", "registrytoken"].some((name) => Object.hasOwn(entry, name));
}

function objectAt({ path, fields }: DockerConfig, name: string): ReadonlyMap<string, unknown> {
  const value = fields.get(name) ?? undefined;
  return value === undefined ? new Map<string, unknown>() : fieldsOf(value, path, name);
}

function fieldsOf(value: unknown, path: string, what: string): ReadonlyMap<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(path, `${what} is not an object`);
  return new Map(Object.entries(value));
}

function invalid(path: string, state: string): OciClientError {
  return new OciClientError("credentials_invalid", `cannot read credentials in ${quote(path)}: ${state}`);
}
