/**
 * `npm run bench disks [IMAGE…]`: disks of pulled images against mke2fs and mkfs.erofs of the unpacked image, whose unpacking is not
 * counted. In turn in one run, on one fresh journaled file system; the peers' disks are synced, as ours are. Nothing here decides a test.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { fixtures, startFixtureRegistry } from "@lamella/fixtures";
import { newerErofs, withUnpackedTree } from "@lamella/oracles";

import { withFreshFileSystem } from "./fresh-file-system.mjs";
import { ROUNDS, takeTurns } from "./rounds.mjs";

const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));
const MIB = 2 ** 20;

/** What a command and those that it starts take, as the system counts it: Node tells it of itself alone. */
const MEASURED = `
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}))
sys.exit(status)
`;

/** Runs a command once for each round; `report` tells of all of them. */
function contender(name, file, command) {
  const used = [];
  let size = 0;
  return {
    run: async () => {
      used.push(
        JSON.parse(execFileSync("python3", ["-c", MEASURED, ...command], { stdio: ["ignore", "pipe", "inherit"] })),
      );
      size = statSync(file).blocks * 512;
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

const ratio = (ours, theirs, field) => (ours[field] / theirs[field]).toFixed(field === "size" ? 3 : 2);

export async function benchDisks(images) {
  const layouts = await fixtures(images);
  const tools = await newerErofs();
  const registry = await startFixtureRegistry();
  try {
    await withFreshFileSystem(async (place) => {
      const root = join(place, "root");
      const work = join(place, "work");
      const lamella = [process.execPath, LAMELLA];
      const fresh = async () => {
        rmSync(work, { recursive: true, force: true });
        mkdirSync(work);
        execFileSync("sync");
      };
      const [startUp] = await takeTurns([async () => void execFileSync(process.execPath, [LAMELLA, "--version"])]);
      console.log(`start-up of lamella, in each of its lines: ${startUp.toFixed(2)} s`);

      for (const image of images) {
        const reference = `${registry.address}/${image}:latest`;
        execFileSync(process.execPath, [LAMELLA, "pull", "-q", "--root", root, reference]);
        await withUnpackedTree({ layout: layouts.layout(image), tag: "latest", by: "umoci" }, async (tree) => {
          const file = join(work, "disk");
          const disk = (...options) => [...lamella, "disk", "-q", "--root", root, reference, "-o", file, ...options];
          const synced = (...command) => ["sh", "-c", '"$@" && sync "$0"', file, ...command];
          const mke2fs = synced(
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-O",
            "^has_journal",
            "-N",
            "200000",
            "-d",
            tree,
            file,
            "4G",
          );
          const mkfsErofs = (...options) => synced(...tools.mkfs, "--quiet", ...options, file, tree);
          const pairs = [
            { name: "ext4", peer: "mke2fs -d", commands: [disk("--format", "ext4"), mke2fs] },
            { name: "EROFS", peer: "mkfs.erofs 1.8", commands: [disk("--format", "erofs"), mkfsErofs()] },
            {
              name: "EROFS lz4",
              peer: "mkfs.erofs 1.8 -zlz4",
              commands: [disk("--format", "erofs", "--compress", "lz4"), mkfsErofs("-zlz4")],
            },
          ];
          for (const { name, peer, commands } of pairs) {
            const names = [`${image}: ${name}`, peer];
            const contenders = commands.map((command, at) => contender(names[at], file, command));
            const times = await takeTurns(
              contenders.map(({ run }) => run),
              fresh,
            );
            const [ours, theirs] = contenders.map(({ report }, at) => report(times[at]));
            console.log(line(ours));
            console.log(line(theirs));
            console.log(
              `  ratio: time ${ratio(ours, theirs, "seconds")}, CPU ${ratio(ours, theirs, "cpu")}, size ${ratio(ours, theirs, "size")}`,
            );
          }
        });
      }
    });
  } finally {
    await registry.close();
  }
  console.log(`(each the median of ${ROUNDS} after a warm-up, the least CPU, the most memory)`);
}
