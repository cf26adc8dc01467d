import { spawn } from "node:child_process";

import { type CallOptions, quote } from "@lamella/refs";

import { orAborted } from "./deadline.js";
import { TOKEN_USER, toCredential } from "./docker-config.js";
import type { Credential } from "./credentials.js";
import { OciClientError } from "./errors.js";
import { redact, redactSecrets } from "./redaction.js";

export interface CredentialHelperOptions extends CallOptions {
  /** Where helpers are looked for (`PATH`), and what they run with. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How long a helper may take; it may have to ask its user to unlock a store. Default: one minute. */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
const MAX_SHOWN = 256;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** How helpers say that they hold nothing; the protocol has no other way. */
const NOT_FOUND = "credentials not found in native keychain";

type Verb = "get" | "store" | "erase";

/**
 * Asks `docker-credential-NAME get` for what it holds for a registry, named as in {@link helperServer}; undefined when it holds nothing.
 * @throws {OciClientError} `helper_failed`, `credentials_invalid`; the signal's reason
 */
export async function getFromHelper(
  name: string,
  server: string,
  options: CredentialHelperOptions,
): Promise<Credential | undefined> {
  const { isDone, output } = await run(name, "get", server, options);
  if (!isDone) {
    if (output.trim() === NOT_FOUND) return undefined;
    throw failed(name, "get", stateOf(output, []));
  }
  let answer: ReadonlyMap<string, unknown>;
  try {
    answer = new Map(Object.entries(JSON.parse(output) as object));
  } catch {
    // Without its cause, which quotes the secret.
    throw failed(name, "get", "its answer is not JSON");
  }
  const [username, secret] = [answer.get("Username") ?? "", answer.get("Secret") ?? ""];
  if (typeof username !== "string" || typeof secret !== "string")
    throw failed(name, "get", "its answer holds no secret");
  return secret === "" ? undefined : toCredential(username, secret);
}

/**
 * Gives a helper a credential to keep, in place of what it held for the registry.
 * @throws {OciClientError} `helper_failed`, `credentials_invalid`; the signal's reason
 */
export async function storeInHelper(
  name: string,
  server: string,
  { credential, ...options }: CredentialHelperOptions & { credential: Credential },
): Promise<void> {
  if (credential.kind === "bearer") {
    throw new OciClientError(
      "credentials_invalid",
      "cannot keep a registry's token in a helper: it takes names and secrets",
    );
  }
  const [username, secret] =
    credential.kind === "identity" ? [TOKEN_USER, credential.token] : [credential.username, credential.password];
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: secret });
  const { isDone, output } = await run(name, "store", input, options);
  if (!isDone) throw failed(name, "store", stateOf(output, [secret]));
}

/**
 * Makes a helper forget what it holds for a registry; that it holds nothing is a success.
 * @throws {OciClientError} `helper_failed`, `credentials_invalid`; the signal's reason
 */
export async function eraseFromHelper(name: string, server: string, options: CredentialHelperOptions): Promise<void> {
  const { isDone, output } = await run(name, "erase", server, options);
  if (!isDone && output.trim() !== NOT_FOUND) throw failed(name, "erase", stateOf(output, []));
}

/** One run: bounded in time and output, its standard error unread. */
async function run(
  name: string,
  verb: Verb,
  input: string,
  { env, timeoutMs = DEFAULT_TIMEOUT_MS, signal }: CredentialHelperOptions,
): Promise<{ isDone: boolean; output: string }> {
  signal?.throwIfAborted();
  if (!NAME.test(name)) throw failed(name, verb, "that is not a helper's name");
  const child = spawn(`docker-credential-${name}`, [verb], { env, stdio: ["pipe", "pipe", "ignore"] });
  const chunks: Buffer[] = [];
  let size = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ended = new Promise<number | null>((resolve, reject) => {
    timer = setTimeout(() => reject(failed(name, verb, `it takes over ${timeoutMs} ms`)), timeoutMs);
    child.on("error", (error) => reject(failed(name, verb, startState(error), error)));
    child.on("close", resolve);
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk);
      else reject(failed(name, verb, `its answer is over its limit of ${MAX_OUTPUT_BYTES} bytes`));
    });
    // A helper need not read what it is given.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
  try {
    const code = await (signal === undefined ? ended : orAborted(ended, signal));
    return { isDone: code === 0, output: Buffer.concat(chunks).toString() };
  } finally {
    clearTimeout(timer);
    // What it started may hold its output open.
    child.stdout.destroy();
    child.kill("SIGKILL");
  }
}

function startState(error: Error): string {
  return "code" in error && error.code === "ENOENT" ? "there is no such program on PATH" : "it cannot be started";
}

function stateOf(output: string, secrets: readonly string[]): string {
  const said = redact(redactSecrets(output.trim(), secrets)).slice(0, MAX_SHOWN);
  return said === "" ? "it fails" : `it fails (${quote(said)})`;
}

function failed(name: string, verb: Verb, state: string, cause?: unknown): OciClientError {
  const act = `run credential helper ${quote(`docker-credential-${name}`)} ${verb}`;
  return new OciClientError("helper_failed", `cannot ${act}: ${state}`, { cause });
}
