import { randomUUID } from "node:crypto";
import { mkdir, open, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { type CallOptions, quote } from "@lamella/refs";

import { type DockerConfig, formatDockerConfig, parseDockerConfig } from "./docker-config.js";
import { OciClientError } from "./errors.js";
import { readPlainFile } from "./plain-file.js";

const MAX_CONFIG_BYTES = 1024 * 1024;

/**
 * Reads a credentials file, at most 1 MiB; undefined when there is none. A symbolic link to one is followed: people keep theirs elsewhere.
 * @throws {OciClientError} `credentials_invalid`, `too_large`
 */
export async function readDockerConfig(path: string, options: CallOptions): Promise<DockerConfig | undefined> {
  options.signal?.throwIfAborted();
  try {
    return parseDockerConfig(await readPlainFile(await realpath(path), MAX_CONFIG_BYTES, options), path);
  } catch (error) {
    options.signal?.throwIfAborted();
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "not_found") return undefined;
    const isOurs = error instanceof OciClientError && code !== "layout_invalid";
    if (isOurs || code === undefined) throw error;
    const state = code === "layout_invalid" ? "it is not a regular file" : `it cannot be opened (${code})`;
    throw new OciClientError("credentials_invalid", `cannot read credentials in ${quote(path)}: ${state}`, {
      cause: error,
    });
  }
}

/**
 * Puts a credentials file in place of the old one, readable by its owner only: whoever reads sees the old or the new, never a part. Two
 * writers at once are not ordered; the later one's file stays.
 * @throws {OciClientError} `credentials_invalid`
 */
export async function writeDockerConfig(config: DockerConfig, { signal }: CallOptions): Promise<void> {
  signal?.throwIfAborted();
  try {
    await mkdir(dirname(config.path), { recursive: true, mode: 0o700 });
    const target = await realpath(config.path).catch(() => config.path);
    await replaceFile(target, formatDockerConfig(config));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    const message = `cannot write credentials to ${quote(config.path)}: the file system refuses (${codeOf(error)})`;
    throw new OciClientError("credentials_invalid", message, { cause: error });
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(dirname(path));
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
