import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { ask, temporaryDirectory } from "./fixture.js";

const BUNDLE = fileURLToPath(new URL("../dist/lamellad.mjs", import.meta.url));

interface Exit {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Exit> {
  const child = spawn(process.execPath, [BUNDLE, ...args], { env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

/** Until the line that says that it listens. */
async function start(args: readonly string[], bundle = BUNDLE): Promise<{ child: ChildProcess; listening: string }> {
  const child = spawn(process.execPath, [bundle, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit").then(() => Promise.reject(new Error("lamellad ended before it listened")));
  const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
  const { listening } = JSON.parse(line) as { listening: string };
  return { child, listening };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<unknown> {
  child.kill(signal);
  return (await once(child, "exit"))[0];
}

describe("lamellad", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("runs alone, serves, and ends well on %s", async (signal) => {
    await using directory = await temporaryDirectory();
    const bundle = join(directory.path, "alone", "lamellad.mjs");
    for (const part of ["lamellad.mjs", "chunks", "page", "prebuilds"]) {
      await cp(join(dirname(BUNDLE), part), join(dirname(bundle), part), { recursive: true });
    }
    const args = ["--root", join(directory.path, "store"), "--listen", "127.0.0.1:0", "--no-token"];
    const { child, listening } = await start(args, bundle);
    expect(listening).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    for (const path of ["/", "/healthz", "/readyz", "/v2/"]) expect((await fetch(listening + path)).status).toBe(200);
    expect(await stop(child, signal)).toBe(0);
  });

  it("keeps its images from one run to the next", async () => {
    await using directory = await temporaryDirectory();
    const args = ["--root", directory.path, "--listen", `unix:${join(directory.path, "run", "a.sock")}`];
    const socketPath = join(directory.path, "run", "a.sock");
    const first = await start(args);
    expect(first.listening).toBe(`unix:${socketPath}`);
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const put = { method: "PUT", path: "/v2/app/manifests/v1", headers: { "Content-Type": mediaType } };
    const body = JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] });
    expect((await ask({ socketPath, ...put }, body)).status).toBe(201);
    expect(await stop(first.child, "SIGTERM")).toBe(0);
    const second = await start(args);
    expect(await ask({ socketPath, path: "/v2/app/manifests/v1" })).toEqual({ status: 200, body });
    expect(await stop(second.child, "SIGTERM")).toBe(0);
  });

  it("refuses to listen where other machines reach it", async () => {
    await using directory = await temporaryDirectory();
    const { status, stdout, stderr } = await run(["--root", directory.path, "--listen", "0.0.0.0:0", "--no-token"]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^lamellad: cannot listen on "0\.0\.0\.0:0": other machines could reach it[^\n]*\n$/);
  });

  it("makes a token for TCP, tells where it is, and never what it is", async () => {
    await using directory = await temporaryDirectory();
    const args = ["--root", directory.path, "--listen", "127.0.0.1:0", "--log-level", "debug"];
    const child = spawn(process.execPath, [BUNDLE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let told = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (told += chunk.toString()));
    }
    const [first] = (await once(child.stdout, "data")) as [Buffer];
    const { listening } = JSON.parse(first.toString()) as { listening: string };
    const file = join(directory.path, "lamellad.token");
    const token = (await readFile(file, "utf8")).trim();
    expect((await fetch(`${listening}/images`)).status).toBe(401);
    expect((await fetch(`${listening}/images`, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(200);
    expect((await fetch(`${listening}/images?x=${token}`)).status).toBe(401);
    expect(await stop(child, "SIGTERM")).toBe(0);
    expect(told).toContain(file);
    expect(told).not.toContain(token);
  });

  it("shows its settings with --check-config, without the token, and does nothing else", async () => {
    await using directory = await temporaryDirectory();
    const root = join(directory.path, "store");
    const config = join(directory.path, "a.json");
    await writeFile(config, JSON.stringify({ builds: 3, listen: "127.0.0.1:0", logLevel: "warn" }));
    const env = { LAMELLAD_TOKEN: "correct-horse-battery-staple", LAMELLAD_LAYERS: "4", HOME: directory.path };
    const { status, stdout, stderr } = await run(["--config", config, "--check-config", "--root", root], env);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({ root, builds: 3, layers: 4, listen: ["127.0.0.1:0"], logLevel: "warn" });
    expect(stdout).not.toContain("horse");
    expect(await readdir(directory.path)).toEqual(["a.json"]);
  });

  it.each([
    [["--builds", "none"], {}, /^lamellad: cannot use --builds: /],
    [[], { LAMELLAD_LISTENING: "x" }, /^lamellad: cannot use \$LAMELLAD_LISTENING: there is no such setting\n$/],
    [["--config", "/nonexistent.json"], {}, /^lamellad: cannot use \/nonexistent\.json: /],
    [["--no-token"], { LAMELLAD_TOKEN: "correct-horse-battery-staple" }, /there are both a token and --no-token/],
    [["--token-file", "/nonexistent"], {}, /^lamellad: cannot read the token: /],
    [
      ["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"],
      {},
      /^lamellad: cannot use the certificate and its key: /,
    ],
    [["--tls-cert", "/nonexistent"], {}, /tls\.key is not given/],
    [["--listen", "nowhere"], {}, /^lamellad: cannot listen on "nowhere"/],
  ] as const)("refuses %j with %j as wrong usage, naming the source", async (args, environment, message) => {
    const env = { HOME: "/nonexistent", XDG_RUNTIME_DIR: "/nonexistent", ...environment };
    const { status, stderr, stdout } = await run([...args, "--check-config"], env);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
  });

  it("takes an unknown flag and a missing default for wrong usage", async () => {
    expect((await run(["--nonsense"])).status).toBe(2);
    expect((await run([], { HOME: "/nonexistent" })).stderr).toMatch(/XDG_RUNTIME_DIR is not set/);
  });

  it("tells its version and its flags", async () => {
    expect(await run(["--version"])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect((await run(["--help"])).stdout).toMatch(/--root[\s\S]*--listen/);
  });
});
