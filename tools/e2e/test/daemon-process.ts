import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const DAEMON = join(import.meta.dirname, "../../../apps/daemon/dist/lamellad.mjs");
const START_TIMEOUT_MS = 60_000;
const WAIT_SECONDS = 20;
const END_TIMEOUT_MS = 180_000;
const SAMPLE_MS = 100;
const SAID_CHARACTERS = 8000;

export interface DaemonProcessOptions {
  /** The directory of its store. */
  readonly root: string;
  /** By default it serves a free port of loopback without a token. */
  readonly flags?: readonly string[];
}

/** A disk as `GET /images/{name}` tells of it. */
interface DiskDocument {
  readonly key: string;
  readonly format: string;
  readonly size_bytes: number;
}

/** What `GET /images/{name}` tells, as far as tests ask. */
export interface ImageDocument {
  readonly id: number;
  readonly name: string;
  readonly digest: string;
  readonly status: "pending" | "pulling" | "converting" | "ready" | "failed" | "cancelled";
  readonly queue_position: number | null;
  readonly error: string | null;
  readonly disks: readonly DiskDocument[];
}

/** A `lamellad` as it is shipped, which is stopped in good order when it is disposed of. */
export interface DaemonProcess extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** The end of what it has written to standard error. */
  readonly said: string;
  /** The memory that it holds now (VmRSS), in bytes. */
  residentBytes(): Promise<number>;
  /** The JSON document that answers a request. Throws for any status from 400 on, with what the answer says. */
  ask<Document>(method: string, path: string, body?: object): Promise<Document>;
  /** The image of that name when it has ended, however it has. */
  ended(name: string): Promise<ImageDocument>;
  /** Ends it at once, as a kill -9 does. */
  kill(): Promise<void>;
  /** SIGTERM. Gives the status that it ends with. */
  stop(): Promise<number | null>;
}

export async function startLamellad({ root, flags = ["--no-token"] }: DaemonProcessOptions): Promise<DaemonProcess> {
  const parameters = [DAEMON, "--root", root, "--listen", "127.0.0.1:0", ...flags];
  const child = spawn(process.execPath, parameters, { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close");
  const orphan = (): boolean => child.kill("SIGKILL");
  process.on("exit", orphan);
  void closed.then(() => process.off("exit", orphan));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-SAID_CHARACTERS);
  });
  const lines = createInterface(child.stdout);
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  const first = once(lines, "line", { signal: timeout }) as Promise<[string]>;
  const begun = await Promise.race([first.catch(() => undefined), closed.then(() => undefined)]);
  if (begun === undefined) {
    orphan();
    throw new Error(`cannot start lamellad: ${said}`);
  }
  lines.on("line", () => {});
  const { listening } = JSON.parse(begun[0]) as { listening: string | readonly string[] };
  const url = [listening].flat()[0]!;

  async function ask<Document>(method: string, path: string, body?: object): Promise<Document> {
    const response = await fetch(url + path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 1000)}`);
    return (text === "" ? undefined : JSON.parse(text)) as Document;
  }

  async function stop(): Promise<number | null> {
    child.kill("SIGTERM");
    return ((await closed) as [number | null])[0];
  }

  return {
    url,
    host: new URL(url).host,
    port: Number(new URL(url).port),
    get said() {
      return said;
    },
    residentBytes: () => residentBytes(child.pid ?? 0),
    ask,
    async ended(name) {
      for (const until = performance.now() + END_TIMEOUT_MS; ;) {
        const path = `/images/${encodeURIComponent(name)}?wait=${WAIT_SECONDS}`;
        const image = await ask<ImageDocument>("GET", path);
        if (["ready", "failed", "cancelled"].includes(image.status)) return image;
        if (performance.now() > until) throw new Error(`${name} is still ${image.status}: ${said}`);
      }
    },
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop();
    },
  };
}

/** The most memory that it holds while `work` goes on, in bytes. */
export async function peakDuring<Result>(
  daemon: DaemonProcess,
  work: Promise<Result>,
): Promise<{ result: Result; peakBytes: number }> {
  const over = new AbortController();
  let peakBytes = 0;
  const watching = (async () => {
    while (!over.signal.aborted) {
      peakBytes = Math.max(peakBytes, await daemon.residentBytes());
      await sleep(SAMPLE_MS);
    }
  })();
  try {
    return { result: await work, peakBytes };
  } finally {
    over.abort();
    await watching;
  }
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}
