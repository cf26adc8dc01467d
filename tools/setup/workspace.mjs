/**
 * What every root script needs before anything else: the workspace's packages installed and built.
 * Plain Node with no dependency: on a fresh clone there is nothing but Node and npm.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const STAMP = join(ROOT, "node_modules/.installed");
const { packageManager, engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** Runs a command in the workspace and ends this process with its status if it fails. */
export function run(command, args, options = {}) {
  const status = tryRun(command, args, options);
  if (status !== 0) process.exit(status);
}

/** Runs a command in the workspace; its exit status, 127 where it cannot be started. */
export function tryRun(command, args, options = {}) {
  const result = spawnSync(command, args, inWorkspace(options));
  if (result.error) process.stderr.write(`cannot run ${command}: ${result.error.message}\n`);
  return result.status ?? 127;
}

/** As `tryRun`, beside others. */
export function tryStart(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, inWorkspace(options));
    child.on("error", (error) => {
      process.stderr.write(`cannot run ${command}: ${error.message}\n`);
      resolve(127);
    });
    child.on("close", (status) => resolve(status ?? 127));
  });
}

function inWorkspace({ stdio = "inherit", env }) {
  // turbo calls pnpm, which is nowhere but here
  const PATH = `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
  const quiet = { TURBO_TELEMETRY_DISABLED: "1", TURBO_NO_UPDATE_NOTIFIER: "1" };
  return { cwd: ROOT, stdio, env: { ...process.env, PATH, ...quiet, ...env } };
}

export const bin = (name) => join(ROOT, "node_modules/.bin", name);

export function ensureInstalled() {
  requireNode();
  const wanted = manifestHash();
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return;
  process.stderr.write(`Installing the workspace with ${packageManager} …\n`);
  // pnpm 11 needs Node 22, and corepack cannot be relied on: npx brings the version that package.json names
  run("npx", ["-y", packageManager, "install", "--frozen-lockfile", "--reporter=append-only"], {
    stdio: ["ignore", process.env.CI ? "inherit" : "ignore", "inherit"],
    env: { CI: "true" },
  });
  writeFileSync(STAMP, wanted);
}

/** Builds what changed. `filters` are turbo's; none: everything. */
export function ensureBuilt(...filters) {
  ensureInstalled();
  const args = [
    "run",
    "build",
    "--output-logs=errors-only",
    "--log-prefix=none",
    ...filters.map((f) => `--filter=${f}`),
  ];
  run(bin("turbo"), args, { stdio: ["ignore", process.env.CI ? "inherit" : "ignore", "inherit"] });
}

function requireNode() {
  const [wantMajor, wantMinor] = engines.node.replace(">=", "").split(".").map(Number);
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > wantMajor || (major === wantMajor && minor >= wantMinor)) return;
  process.stderr.write(`Lamella needs Node ${engines.node}; this is ${process.versions.node}\n`);
  process.exit(1);
}

function manifestHash() {
  const manifests = ["packages", "apps", "tools"]
    .flatMap((group) => readdirSync(join(ROOT, group)).map((name) => join(group, name, "package.json")))
    .filter((path) => existsSync(join(ROOT, path)));
  const hash = createHash("sha256");
  for (const path of ["package.json", "pnpm-workspace.yaml", "pnpm-lock.yaml", ...manifests]) {
    hash.update(path).update(readFileSync(join(ROOT, path)));
  }
  return hash.digest("hex");
}
