import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { requireTool } from "@lamella/oracles";

import type { Identity } from "./certificate-authority.js";

export interface DockerRegistryOptions {
  /** Holds its configuration and its data. */
  readonly directory: string;
  /** A line of an htpasswd file, hashed with bcrypt. */
  readonly htpasswd?: string;
  readonly token?: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly roots: string;
  };
  /** Speaks HTTPS, and only to clients whose certificate an authority in the file `clientCa` has signed. */
  readonly tls?: { readonly server: Identity; readonly clientCa: string };
}

/** Debian's docker-registry with a configuration of the test's own; it lets delete. */
export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** The requests that it has answered, as `METHOD /path STATUS`, in that order. */
  readonly requests: readonly string[];
}

const START_TIMEOUT_MS = 20_000;
const LISTENING = /listening on (127\.0\.0\.1:\d+)/;
const ACCESS = /"([A-Z]+ \S+) HTTP\/1\.1" (\d{3})/;

export async function startDockerRegistry(options: DockerRegistryOptions): Promise<DockerRegistry> {
  mkdirSync(options.directory, { recursive: true });
  const configuration = join(options.directory, "config.json");
  // every JSON document is YAML, too
  writeFileSync(configuration, JSON.stringify(configurationOf(options)));
  const child = spawn(requireTool("docker-registry"), ["serve", configuration], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  const orphan = (): boolean => child.kill("SIGKILL");
  process.on("exit", orphan);
  const close = async (): Promise<void> => {
    process.off("exit", orphan);
    child.kill("SIGTERM");
    await ended;
  };
  const requests: string[] = [];
  createInterface(child.stdout).on("line", (line) => {
    const [, request, status] = ACCESS.exec(line) ?? [];
    if (request !== undefined) requests.push(`${request} ${status}`);
  });
  let said = "";
  const listening = new Promise<string>((resolve) => {
    createInterface(child.stderr).on("line", (line) => {
      said = `${said}${line}\n`.slice(-2000);
      const address = LISTENING.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
  });
  const timeout = new AbortController();
  const waited = sleep(START_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => undefined);
  const address = await Promise.race([listening, ended.then(() => undefined), waited]);
  timeout.abort();
  if (address !== undefined) return { address, requests, [Symbol.asyncDispose]: close };
  await close();
  throw new Error(`cannot start docker-registry: ${said}`);
}

function configurationOf({ directory, htpasswd, token, tls }: DockerRegistryOptions): object {
  const passwords = join(directory, "htpasswd");
  if (htpasswd !== undefined) writeFileSync(passwords, `${htpasswd}\n`);
  return {
    version: "0.1",
    log: { level: "info", fields: { service: "registry" } },
    storage: { filesystem: { rootdirectory: join(directory, "data") }, delete: { enabled: true } },
    auth: {
      ...(htpasswd !== undefined && { htpasswd: { realm: "the test's", path: passwords } }),
      ...(token !== undefined && {
        token: { realm: token.realm, service: token.service, issuer: token.issuer, rootcertbundle: token.roots },
      }),
    },
    http: {
      addr: "127.0.0.1:0",
      ...(tls !== undefined && {
        tls: { certificate: tls.server.certFile, key: tls.server.keyFile, clientcas: [tls.clientCa] },
      }),
    },
  };
}
