/**
 * `npm run bench disks [--on-disk] [IMAGE…]`: disks of a pulled image, and of the same image unpacked, against mke2fs and mkfs.erofs of the unpacked image. Unpacking
 * and pulling are not counted, and no registry is asked; every disk is synced before its time ends. The start of Node is in the times of our commands; the library
 * makes the same disks of the pulled image in a process that is up and has the store open, as a daemon has. In turn in one run; all that is read and written lies in
 * memory, or with `--on-disk` on one fresh, journaled file system, where a device that is slower than all of them levels them. Nothing here decides a test.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { fixtures, startFixtureRegistry } from "@lamella/fixtures";
import { newerErofs, withUnpackedTree } from "@lamella/oracles";

import { withFileSystemInMemory, withFreshFileSystem } from "./fresh-file-system.mjs";
import { CALLS_BEFORE, startProcess } from "./process-up.mjs";
import { takeTurns } from "./rounds.mjs";

const DISK_PROCESS = fileURLToPath(new URL("disk-process.mjs", import.meta.url));
const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));
const MIB = 2 ** 20;
/** A round of a large image takes a minute. */
const ROUNDS = 3;

/** What a command and those that it starts take, as the system counts it: Node tells it of itself alone. The start of Python is not in it. */
const MEASURED = `
import json, resource, subprocess, sys, time
started = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}))
sys.exit(status)
`;

function measured(command) {
  return JSON.parse(execFileSync("python3", ["-c", MEASURED, ...command], { stdio: ["ignore", "pipe", "inherit"] }));
}

/** Makes a disk once for each round; `report` tells of all of them. */
function contender(name, file, make) {
  const used = [];
  let size = 0;
  return {
    run: async () => {
      const result = await make();
      used.push(result);
      size = statSync(file).blocks * 512;
      return result;
    },
    report: (seconds) => ({
      name,
      seconds,
      cpu: Math.min(...used.map(({ cpu }) => cpu)),
      peak: Math.max(...used.map(({ peak }) => peak)),
      size,
    }),
  };
}

function line({ name, seconds, cpu, peak, size }) {
  const times = `${seconds.toFixed(2)} s, CPU ${cpu.toFixed(2)} s`;
  return `${name.padEnd(24)} ${times}, at most ${Math.round(peak / MIB)} MB, disk ${(size / MIB).toFixed(1)} MB`;
}

function ratios(ours, theirs) {
  const [time, cpu] = ["seconds", "cpu"].map((field) => (ours[field] / theirs[field]).toFixed(2));
  return `; of the peer's: time ${time}, CPU ${cpu}, size ${(ours.size / theirs.size).toFixed(3)}`;
}

export async function benchDisks(images, { isOnDisk }) {
  const withPlace = isOnDisk ? withFreshFileSystem : withFileSystemInMemory;
  const layouts = await fixtures(images);
  const tools = await newerErofs();
  const registry = await startFixtureRegistry();
  try {
    await withPlace(async (place) => {
      // for what is compressed before a disk is written
      process.env.TMPDIR = place;
      const root = join(place, "root");
      const work = join(place, "work");
      const lamella = [process.execPath, LAMELLA, "disk", "-q", "--root", root];
      const fresh = async () => {
        rmSync(work, { recursive: true, force: true });
        mkdirSync(work);
        execFileSync("sync");
      };
      const [startUp] = await takeTurns([async () => void execFileSync(process.execPath, [LAMELLA, "--version"])]);
      console.log(`start-up of lamella, in each of its lines: ${startUp.toFixed(2)} s`);

      for (const image of images) {
        const reference = `${registry.address}/${image}:latest`;
        // of a name that the user gave no registry is asked
        const name = `bench/${image}:latest`;
        execFileSync(process.execPath, [LAMELLA, "pull", "-q", "--root", root, reference]);
        execFileSync(process.execPath, [LAMELLA, "tag", "--root", root, reference, name], { stdio: "ignore" });
        await withUnpackedTree({ layout: layouts.layout(image), tag: "latest", by: "umoci" }, async (unpacked) => {
          const tree = join(place, image);
          execFileSync("cp", ["-a", unpacked, tree]);
          const file = join(work, "disk");
          const disk = (source, parameters) => measured([...lamella, source, "-o", file, ...parameters]);
          const synced = (command) => measured(["sh", "-c", '"$@" && sync "$0"', file, ...command]);
          const mke2fs = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-N", "200000", "-d", tree, file, "4G"];
          const mkfsErofs = (...options) => [...tools.mkfs, "--quiet", ...options, file, tree];
          const formats = [
            { title: "ext4", options: { format: "ext4" }, peer: "mke2fs -d", command: mke2fs },
            { title: "EROFS", options: { format: "erofs" }, peer: "mkfs.erofs 1.8", command: mkfsErofs() },
            {
              title: "EROFS lz4",
              options: { format: "erofs", compression: "lz4" },
              peer: "mkfs.erofs 1.8 -zlz4",
              command: mkfsErofs("-zlz4"),
            },
          ];
          for (const { title, options, peer, command } of formats) {
            const { format, compression } = options;
            const parameters = ["--format", format, ...(compression === undefined ? [] : ["--compress", compression])];
            // one for each format, whose memory is then that of this format
            const library = startProcess(DISK_PROCESS, [root]);
            const byLibrary = () => library.ask({ name, file, options });
            try {
              for (let call = 0; call < CALLS_BEFORE; call++) {
                await fresh();
                await byLibrary();
              }
              const contenders = [
                contender(`${image}: ${title}`, file, () => disk(name, parameters)),
                contender(`${title} of dir:`, file, () => disk(`dir:${tree}`, parameters)),
                contender(`library, up: ${title}`, file, byLibrary),
                contender(peer, file, () => synced(command)),
              ];
              const times = await takeTurns(
                contenders.map(({ run }) => run),
                fresh,
                ROUNDS,
              );
              const reports = contenders.map(({ report }, at) => report(times[at]));
              const theirs = reports.at(-1);
              for (const ours of reports) console.log(ours === theirs ? line(ours) : line(ours) + ratios(ours, theirs));
            } finally {
              await library.close();
            }
          }
        });
      }
    });
  } finally {
    await registry.close();
  }
  console.log(
    `(${isOnDisk ? "on a disk, synced" : "in memory"}; each the median of ${ROUNDS} after a warm-up, the least CPU, the most memory)`,
  );
}
