import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { silentLog } from "../src/logging.js";
import { findServiceManager, startWatchdog, takeActivatedSockets } from "../src/systemd.js";
import type { ServiceManager } from "../src/systemd.js";
import { ask, temporaryDirectory } from "./fixture.js";

const BUNDLE = fileURLToPath(new URL("../dist/lamellad.mjs", import.meta.url));
const UNITS = new URL("../systemd/", import.meta.url);

/** Where there is a systemd. */
const ANALYZE = "systemd-analyze";
const has = (tool: string): boolean => spawnSync(tool, ["--version"]).status === 0;
const canNotify = has("systemd-notify") && has("python3");

/** Prints each datagram that comes, as one line of JSON. */
const LISTENER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;

/** Binds what systemd would, and becomes the program. */
const ACTIVATOR = `
import os, socket, sys
path, program = sys.argv[1], sys.argv[2:]
unix = socket.socket(socket.AF_UNIX); unix.bind(path); unix.listen()
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
print(tcp.getsockname()[1], flush=True)
kept = [os.dup(s.fileno()) for s in (unix, tcp)]
for at, fd in enumerate(kept): os.dup2(fd, 10 + at)
for at in range(2): os.dup2(10 + at, 3 + at); os.set_inheritable(3 + at, True)
os.environ["LISTEN_PID"] = str(os.getpid()); os.environ["LISTEN_FDS"] = "2"
os.execvp(program[0], program)
`;

async function lines(child: ChildProcess): Promise<AsyncIterator<string>> {
  return createInterface(child.stdout!)[Symbol.asyncIterator]();
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(child, "exit");
  child.kill(signal);
  return (await exit)[0] as number | null;
}

describe("takeActivatedSockets()", () => {
  it("takes the sockets that are for this process, and leaves its children none", () => {
    const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b", PATH: "/bin" };
    expect(takeActivatedSockets({ ...environment }, 8)).toEqual([]);
    expect(takeActivatedSockets(environment, 7)).toEqual([3, 4]);
    expect(environment).toEqual({ PATH: "/bin" });
  });

  it.each(["", "-1", "many", "0"])("takes none of %j", (LISTEN_FDS) => {
    expect(takeActivatedSockets({ LISTEN_PID: "7", LISTEN_FDS }, 7)).toEqual([]);
  });
});

describe("startWatchdog()", () => {
  const count = (watchdogMs: number | undefined): { manager: ServiceManager; told: string[] } => {
    const told: string[] = [];
    return { told, manager: { watchdogMs, tell: async (state) => void told.push(state) } };
  };

  it("pings twice an interval while the daemon is well, and no more after that", async () => {
    const { manager, told } = count(60);
    let isWell = true;
    using _ = startWatchdog(manager, async () => {
      if (!isWell) throw new Error("the database does not answer");
    });
    await expect.poll(() => told.length).toBeGreaterThan(2);
    isWell = false;
    await sleep(50);
    const { length } = told;
    await sleep(200);
    expect(told.length).toBe(length);
    expect(new Set(told)).toEqual(new Set(["WATCHDOG=1"]));
  });

  it("does not ping for a database that takes too long, and asks it once at a time", async () => {
    const { manager, told } = count(60);
    let asked = 0;
    using _ = startWatchdog(manager, async (signal) => {
      asked += 1;
      await once(signal, "abort");
      throw signal.reason;
    });
    await sleep(300);
    expect(told).toEqual([]);
    expect(asked).toBeGreaterThan(1);
    expect(asked).toBeLessThan(12);
  });

  it("does not ask where nobody watches", async () => {
    const { manager } = count(undefined);
    using _ = startWatchdog(manager, () => Promise.reject(new Error("asked")));
    await sleep(20);
  });
});

describe("lamellad under systemd", () => {
  it.skipIf(!canNotify)("tells when it is ready, that it is alive, and when it stops", async () => {
    await using directory = await temporaryDirectory();
    const socket = join(directory.path, "notify");
    const listener = spawn("python3", ["-c", LISTENER, socket], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const told = await lines(listener);
      expect((await told.next()).value).toBe('"bound"');
      const next = async (): Promise<string> => {
        for (;;) {
          const { value } = (await told.next()) as IteratorYieldResult<string>;
          const message = JSON.parse(value) as string;
          // systemd-notify asks whether what it said has come
          if (!message.startsWith("BARRIER=1")) return message.trim();
        }
      };
      const args = ["--root", join(directory.path, "store"), "--listen", join(directory.path, "a.sock")];
      const env = { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: "400000" };
      const daemon = spawn(process.execPath, [BUNDLE, ...args, "--log-level", "warn"], { env, stdio: "inherit" });
      try {
        expect(await next()).toMatch(/^READY=1/);
        for (let at = 0; at < 2; at++) expect(await next()).toMatch(/^WATCHDOG=1/);
        const exit = ended(daemon, "SIGTERM");
        let last = await next();
        while (last.startsWith("WATCHDOG=1")) last = await next();
        expect(last).toMatch(/^STOPPING=1/);
        expect(await exit).toBe(0);
      } finally {
        daemon.kill("SIGKILL");
      }
    } finally {
      listener.kill();
    }
  });

  it.skipIf(!has("python3"))(
    "serves the sockets that it is given, and asks for the token on those of TCP",
    async () => {
      await using directory = await temporaryDirectory();
      const socketPath = join(directory.path, "a.sock");
      const root = join(directory.path, "store");
      const program = [process.execPath, BUNDLE, "--root", root, "--log-level", "warn"];
      const daemon = spawn("python3", ["-c", ACTIVATOR, socketPath, ...program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const told = await lines(daemon);
        const port = (await told.next()).value as string;
        expect((await told.next()).value).toBe('{"listening":"fd:3"}');
        expect((await told.next()).value).toBe(`{"listening":"http://127.0.0.1:${port}"}`);
        expect((await ask({ socketPath, path: "/v2/" })).status).toBe(200);
        expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
        expect((await fetch(`http://127.0.0.1:${port}/v2/`)).status).toBe(401);
        const token = (await readFile(join(root, "lamellad.token"), "utf8")).trim();
        const headers = { Authorization: `Bearer ${token}` };
        expect((await fetch(`http://127.0.0.1:${port}/v2/`, { headers })).status).toBe(200);
        expect(await ended(daemon, "SIGTERM")).toBe(0);
      } finally {
        daemon.kill("SIGKILL");
      }
    },
  );

  it.skipIf(!has(ANALYZE))("has units without a mistake, and little that it may do", async () => {
    await using directory = await temporaryDirectory();
    const service = (await readFile(new URL("lamellad.service", UNITS), "utf8")).replace(
      "/usr/bin/lamellad",
      "/bin/true",
    );
    const unit = join(directory.path, "lamellad.service");
    await writeFile(unit, service);
    await copyFile(new URL("lamellad.socket", UNITS), join(directory.path, "lamellad.socket"));
    const verified = spawnSync(ANALYZE, ["verify", unit, join(directory.path, "lamellad.socket")]);
    expect([verified.status, verified.stderr.toString()]).toEqual([0, ""]);
    await writeFile(unit, service.replace("ProtectSystem=strict", "ProtectSystm=strict"));
    const mistaken = spawnSync(ANALYZE, ["verify", unit]);
    expect(mistaken.stderr.toString()).toMatch(/ProtectSystm/);
    await writeFile(unit, service);
    const { stdout } = spawnSync(ANALYZE, ["security", "--offline=yes", "--no-pager", unit]);
    const [, exposure = "10"] = /exposure level for lamellad\.service: ([\d.]+)/.exec(stdout.toString()) ?? [];
    console.log(`systemd-analyze security lamellad.service: ${exposure}`);
    expect(Number(exposure)).toBeLessThan(2);
  });

  it("keeps what is wrong with its service manager to its log", async () => {
    const environment = { NOTIFY_SOCKET: "/nonexistent/notify", WATCHDOG_USEC: "1000000", WATCHDOG_PID: "8" };
    const manager = findServiceManager(environment, 7, silentLog());
    expect(manager.watchdogMs).toBeUndefined();
    await manager.tell("READY=1");
    expect(environment).toEqual({});
  });
});
