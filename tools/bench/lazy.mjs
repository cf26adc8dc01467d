/**
 * `npm run bench lazy`: from the command to the first small file of node-app as eStargz, from an empty directory, with latency injected before every answer of the
 * registry: `lamella mount --lazy`, with the start of Node; the library in a process that is up before the clock starts; `lamella pull` and `cat`; and the stargz
 * snapshotter behind containerd, whose daemons are up before the clock starts, too. Needs root.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { startFixtureRegistry } from "@lamella/fixtures";
import { startFaultProxy } from "@lamella/oci-client/testing";
import { lazyImageNeeds, missing, withLazyImage } from "@lamella/oracles";

import { withFreshFileSystem } from "./fresh-file-system.mjs";
import { CALLS_BEFORE, startProcess } from "./process-up.mjs";
import { median } from "./rounds.mjs";

const LAZY_PROCESS = fileURLToPath(new URL("lazy-process.mjs", import.meta.url));
const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));
const FILE = "usr/lib/os-release";
const LATENCIES_MS = [0, 20, 100];
const ROUNDS = 3;

export async function benchLazy() {
  const withoutPeer = missing(lazyImageNeeds);
  const registry = await startFixtureRegistry();
  const library = startProcess(LAZY_PROCESS);
  try {
    await withFreshFileSystem(async (place) => {
      const contenders = { "mount --lazy": mountLazily, "library, up": mountBy(library), "pull, cat": pullAndCat };
      if (withoutPeer === undefined) contenders["stargz snapshotter"] = pullRemotely;
      for (let call = 0; call < CALLS_BEFORE; call++) {
        await measure(contenders["library, up"], { place, upstream: registry.address, latencyMs: 0 });
      }
      for (const latencyMs of LATENCIES_MS) {
        const results = await compare(contenders, { place, upstream: registry.address, latencyMs });
        const [peer, theirs] = [...results].at(-1);
        for (const [name, { seconds, bytes }] of results) {
          const figures = `${seconds.toFixed(3)} s  ${(bytes / 1e6).toFixed(1)} MB`;
          const ratio = name === peer ? "" : `  ratio to ${peer} ${(seconds / theirs.seconds).toFixed(2)}`;
          console.log(
            `node-app:estargz, latency ${String(latencyMs).padStart(3)} ms, first file: ${name.padEnd(18)} ${figures}${ratio}`,
          );
        }
      }
    });
  } finally {
    await library.close();
    await registry.close();
  }
  if (withoutPeer !== undefined) console.log(`(no stargz snapshotter: ${withoutPeer})`);
  console.log(`(Node ${process.versions.node}; each number the median of ${ROUNDS} after a warm-up, in turn)`);
}

/** In turn, after a warm-up. */
async function compare(contenders, registry) {
  const rounds = new Map(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, contender] of Object.entries(contenders)) {
      const result = await measure(contender, registry);
      if (round > 0) rounds.get(name).push(result);
    }
  }
  return new Map(
    [...rounds].map(([name, results]) => [
      name,
      {
        seconds: median(results.map(({ seconds }) => seconds)),
        bytes: median(results.map(({ bytes }) => bytes)),
      },
    ]),
  );
}

/** From an empty directory. */
async function measure(contender, { place, upstream, latencyMs }) {
  const work = join(place, "work");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const faults = latencyMs === 0 ? [] : [{ action: { kind: "delay", ms: latencyMs } }];
  const proxy = await startFaultProxy({ upstream: `http://${upstream}`, faults });
  try {
    const seconds = await contender(`${proxy.host}/node-app:estargz`, work);
    return { seconds, bytes: proxy.sentBytes(/\/blobs\//) };
  } finally {
    await proxy.close();
  }
}

async function mountLazily(reference, work) {
  const directory = join(work, "mounted");
  mkdirSync(directory);
  const started = performance.now();
  const parameters = [
    LAMELLA,
    "mount",
    "--lazy",
    "--platform",
    "linux/amd64",
    "--root",
    join(work, "root"),
    reference,
    directory,
  ];
  const child = spawn(process.execPath, parameters, { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  await Promise.race([once(child.stdout, "data"), exit]);
  // in another process, and not waited for in one go: the proxy is of this one
  await run(`cat ${join(directory, FILE)} > ${join(work, "file")}`);
  const seconds = (performance.now() - started) / 1000;
  child.kill("SIGINT");
  await exit;
  return checked(work, seconds);
}

function mountBy(library) {
  return async (reference, work) => {
    const directory = join(work, "mounted");
    mkdirSync(directory);
    const started = performance.now();
    await library.ask({ reference, work, directory });
    try {
      await run(`cat ${join(directory, FILE)} > ${join(work, "file")}`);
      return checked(work, (performance.now() - started) / 1000);
    } finally {
      await library.ask("unmount");
    }
  };
}

async function pullAndCat(reference, work) {
  const lamella = `${process.execPath} ${LAMELLA}`;
  const options = `-q --platform linux/amd64 --root ${join(work, "root")}`;
  const started = performance.now();
  await run(
    `${lamella} pull ${options} ${reference} && ${lamella} cat ${options} ${reference} ${FILE} > ${join(work, "file")}`,
  );
  return checked(work, (performance.now() - started) / 1000);
}

async function pullRemotely(reference, work) {
  let started = 0;
  let seconds = 0;
  await withLazyImage({ reference, onReady: () => (started = performance.now()) }, async ({ directory }) => {
    await run(`cat ${join(directory, FILE)} > ${join(work, "file")}`);
    seconds = (performance.now() - started) / 1000;
  });
  return checked(work, seconds);
}

function checked(work, seconds) {
  if (readFileSync(join(work, "file"), "utf8").includes("ID=debian")) return seconds;
  throw new Error("another file was read");
}

async function run(script) {
  const child = spawn("sh", ["-c", script], { stdio: ["ignore", "ignore", "inherit"] });
  const [status] = await once(child, "exit");
  if (status !== 0) throw new Error(`sh -c '${script}' exited with ${status}`);
}
