/**
 * `npm run bench daemon`: lamellad under load for two minutes. 200 clients pull and 20 push, 1,000 times somebody asks for one of 50 images of another registry, and
 * somebody lists the images: what fails, how often each image is built, how long the list takes and how much memory there is. Then the same pulls from it and from
 * Debian's docker-registry, in turn. `--seconds`, `--pullers`, `--pushers`, `--requests`, `--images`, `--rounds` give other numbers, `--json` one line of results.
 */
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { fixtures, startRegistry } from "@lamella/fixtures";

import { pushImage, pushSmallImage } from "./daemon-push.mjs";
import { median } from "./rounds.mjs";

const LAMELLAD = fileURLToPath(import.meta.resolve("../../apps/daemon/dist/lamellad.mjs"));
const CLIENT = fileURLToPath(import.meta.resolve("./daemon-client.mjs"));
const PULLED = "debian-slim";
/** What lamellad makes of `app:v1`, which is pushed to it. */
const PULLED_NAME = "localhost/app:v1";
const PULL_PROCESSES = 2;
const PUSH_PAUSE_MS = 4000;
const SAMPLE_MS = 500;
const END_TIMEOUT_MS = 300_000;
const ERRORS_TOLD = 10;
const MIB = 2 ** 20;

const OPTIONS = { seconds: 120, pullers: 200, pushers: 20, requests: 1000, images: 50, rounds: 3 };

export async function benchDaemon(args) {
  const numbers = Object.keys(OPTIONS).map((name) => [name, { type: "string" }]);
  const { values } = parseArgs({ args, options: { ...Object.fromEntries(numbers), json: { type: "boolean" } } });
  const options = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, usual]) => [name, Number(values[name] ?? usual)]),
  );
  const results = await measure(options);
  if (values.json) console.log(JSON.stringify(results));
  else tell(results, options);
}

async function measure(options) {
  const work = mkdtempSync(join(tmpdir(), "lamella-bench-daemon-"));
  const closing = [async () => rmSync(work, { recursive: true })];
  try {
    mkdirSync(join(work, "docker"));
    const peer = await startRegistry({ data: join(work, "docker"), readOnly: false, isCached: true });
    closing.unshift(() => peer.close());
    const daemon = await startDaemon(join(work, "store"));
    closing.unshift(() => daemon.stop());
    const { parts, image } = await readPulled();
    for (const host of [peer.address, daemon.host]) await pushImage(host, "app:v1", image);
    await ended(daemon, [PULLED_NAME]);
    const names = Array.from({ length: options.images }, (_, number) => `asked-${number}:v1`);
    for (const name of names) await pushSmallImage(peer.address, name);

    const asked = names.map((name) => `${peer.address}/${name}`);
    const load = await measureLoad(daemon, { ...options, parts, names: asked });
    const rounds = await compare({ ours: daemon.host, theirs: peer.address }, { ...options, parts });
    return { ...load, ...rounds };
  } finally {
    for (const close of closing) await close();
  }
}

async function startDaemon(root) {
  const parameters = [LAMELLAD, "--root", root, "--listen", "127.0.0.1:0", "--no-token", "--log-level", "error"];
  const child = spawn(process.execPath, parameters, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  process.once("exit", () => child.kill("SIGKILL"));
  const [line] = await Promise.race([
    once(createInterface(child.stdout), "line"),
    ended.then(() => Promise.reject(new Error("cannot start lamellad: it ended at once"))),
  ]);
  const url = [JSON.parse(line).listening].flat()[0];
  return {
    url,
    host: new URL(url).host,
    residentBytes() {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
    },
    async get(path) {
      const response = await fetch(url + path);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return response;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** The image that is pulled, and what a client asks for to get it. */
async function readPulled() {
  const layout = (await fixtures([PULLED])).layout(PULLED);
  const read = (digest) => readFileSync(join(layout, "blobs", digest.replace(":", "/")));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const isLatest = ({ annotations }) => annotations["org.opencontainers.image.ref.name"] === "latest";
  const found = index.manifests.find(isLatest);
  const manifest = read(found.digest);
  const { config, layers } = JSON.parse(manifest);
  const blobs = [config, ...layers].map((descriptor) => ({ descriptor, bytes: read(descriptor.digest) }));
  const paths = [config, ...layers].map(({ digest, size }) => ({ path: `/v2/app/blobs/${digest}`, digest, size }));
  const { digest, size } = found;
  return { image: { blobs, manifest }, parts: [{ path: "/v2/app/manifests/v1", digest, size }, ...paths] };
}

/** Everything at once; then all that was asked for and pushed is waited for. */
async function measureLoad(daemon, { seconds, pullers, pushers, requests, parts, names }) {
  const atRest = daemon.residentBytes();
  const memory = [];
  const sampling = setInterval(() => memory.push(daemon.residentBytes()), SAMPLE_MS);
  const [pulled, [pushed], [asked]] = await Promise.all([
    runClients(pullJob(daemon.host, { pullers, parts, seconds }), PULL_PROCESSES),
    runClients({ kind: "push", host: daemon.host, clients: pushers, seconds, pauseMs: PUSH_PAUSE_MS }),
    runClients({ kind: "ask", url: daemon.url, names, requests, seconds }),
  ]);
  const wanted = [PULLED_NAME, ...names, ...pushed.names.map((name) => `localhost/${name}`)];
  const images = await ended(daemon, wanted);
  clearInterval(sampling);
  const notReady = wanted.filter((name) => images.get(name)?.status !== "ready");
  const errors = [
    ...[...pulled, pushed, asked].flatMap((result) => result.errors),
    ...notReady.map((name) => `${name}: ${images.get(name)?.status} ${images.get(name)?.error}`),
  ];
  const middle = Math.floor(memory.length / 2);
  return {
    errors: errors.length,
    told: errors.slice(0, ERRORS_TOLD),
    pulls: sum(pulled, ({ pulls }) => pulls),
    pulledBytesPerSecond: sum(pulled, ({ bytes }) => bytes) / seconds,
    pushes: pushed.names.length,
    asked: asked.asked,
    images: wanted.length,
    built: await countBuilds(daemon),
    listMs: quantiles(asked.listMs),
    askMs: quantiles(asked.askMs),
    memoryBytes: {
      atRest,
      halves: [memory.slice(0, middle), memory.slice(middle)].map((half) => Math.max(...half)),
      end: memory.at(-1),
      max: Math.max(...memory),
    },
  };
}

/** Images by their names, when those have ended; builds may take longer than the load did. */
async function ended(daemon, names) {
  for (const until = performance.now() + END_TIMEOUT_MS; ;) {
    const all = await (await daemon.get("/images")).json();
    const images = new Map(all.map((image) => [image.name, image]));
    if (names.every((name) => images.has(name) && images.get(name).queue_position === null)) return images;
    if (performance.now() > until)
      throw new Error(`of ${names.length} images only ${images.size} are there in the end`);
    await sleep(SAMPLE_MS);
  }
}

/** How many builds have come to an end since the daemon was started, however they have. */
async function countBuilds(daemon) {
  const text = await (await daemon.get("/metrics")).text();
  const counts = [...text.matchAll(/^lamella_phase_seconds_count\{(?=[^}]*phase="build")[^}]*\} (\d+)$/gm)];
  return sum(counts, ([, count]) => Number(count));
}

/** The same pulls from each, in turn. */
async function compare(hosts, { seconds, rounds, pullers, parts }) {
  const each = Math.max(2, seconds / (4 * rounds));
  const rates = { ours: [], theirs: [] };
  const errors = { ours: 0, theirs: 0 };
  for (let round = 0; round < rounds; round++) {
    for (const [side, host] of Object.entries(hosts)) {
      const pulled = await runClients(pullJob(host, { pullers, parts, seconds: each }), PULL_PROCESSES);
      rates[side].push(sum(pulled, ({ bytes }) => bytes) / each);
      errors[side] += sum(pulled, (result) => result.errors.length);
    }
  }
  const [ours, theirs] = [median(rates.ours), median(rates.theirs)];
  return { compared: { ours, theirs, ratio: ours / theirs, errors } };
}

function pullJob(host, { pullers, parts, seconds }) {
  return { kind: "pull", port: Number(host.split(":")[1]), parts, clients: pullers / PULL_PROCESSES, seconds };
}

async function runClients(job, processes = 1) {
  return Promise.all(
    Array.from({ length: processes }, async () => {
      const child = fork(CLIENT);
      const failed = once(child, "exit").then(([status]) => {
        throw new Error(`a process of clients has ended with ${status} and no result`);
      });
      child.send(job);
      const [result] = await Promise.race([once(child, "message"), failed]);
      return result;
    }),
  );
}

function sum(items, numberOf) {
  return items.reduce((total, item) => total + numberOf(item), 0);
}

function quantiles(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}

function tell(results, { seconds, pullers, pushers, rounds }) {
  const mb = (bytes) => `${(bytes / MIB).toFixed(0)} MiB`;
  const rate = (bytesPerSecond) => `${(bytesPerSecond / MIB).toFixed(0)} MiB/s`;
  const ms = ({ count, p50, p99, max }) =>
    `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, slowest ${max.toFixed(0)} ms of ${count}`;
  const { errors, told, memoryBytes, compared } = results;
  const line = (title, text) => console.log(`${title.padEnd(28)} ${text}`);
  console.log(`lamellad for ${seconds} s: ${pullers} clients pull ${PULLED}, ${pushers} push`);
  line("errors", [errors, ...told].join("\n  "));
  line("pulled", `${results.pulls} times, ${rate(results.pulledBytesPerSecond)}`);
  line("pushed", `${results.pushes} images`);
  line("asked for", `${results.asked} times`);
  line("builds", `${results.built} for ${results.images} images`);
  line("GET /images", ms(results.listMs));
  line("POST /images", ms(results.askMs));
  const [first, second] = memoryBytes.halves;
  const most = `at most ${mb(first)} in the first half and ${mb(second)} in the second`;
  line("memory", `${mb(memoryBytes.atRest)} at rest, ${most}, ${mb(memoryBytes.end)} at the end`);
  const { ours, theirs, ratio, errors: failed } = compared;
  line(
    "the same pulls, nothing else",
    `${rate(ours)}, docker-registry ${rate(theirs)}, ratio ${ratio.toFixed(2)} (at least 0.8)`,
  );
  console.log(
    `(Node ${process.versions.node}; the median of ${rounds} in turn; ${failed.ours} and ${failed.theirs} errors)`,
  );
}
