import { mkdtemp, rm } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import type { RequestOptions } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startDaemon } from "../src/daemon.js";
import type { Daemon, DaemonOptions } from "../src/daemon.js";
import type { ListenAddress } from "../src/listen-address.js";

export const ANY_PORT: ListenAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), "lamellad-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface RunningDaemon extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly root: string;
  readonly errors: unknown[];
}

/** A daemon over an empty store, stopped and removed at the end; without a token unless the options say otherwise. */
export async function runDaemon(
  listen: ListenAddress = ANY_PORT,
  options: Partial<DaemonOptions> = {},
): Promise<RunningDaemon> {
  const directory = await temporaryDirectory();
  const errors: unknown[] = [];
  const onError = (error: unknown): unknown => errors.push(error);
  const daemon = await startDaemon({ root: directory.path, listen: [listen], noToken: true, onError, ...options });
  await daemon.ready;
  return {
    daemon,
    root: directory.path,
    errors,
    async [Symbol.asyncDispose]() {
      await daemon.stop(0);
      await directory[Symbol.asyncDispose]();
    },
  };
}

export interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

/** What `fetch` cannot send: any Host header, a unix socket. */
export async function ask(options: RequestOptions, sent?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ agent: false, ...options }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode, body }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(sent);
  });
}
