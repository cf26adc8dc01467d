/**
 * `npm run bench fuse`: a directory of 20,000 small files and a large one, mounted by us, by bind, and by fuse-overlayfs where that mounts. Each
 * mount is new, and the kernel has forgotten names and attributes; what lies below is in its page cache. Needs root.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { mountTree } from "@lamella/fuse";
import { openDirectoryTree } from "@lamella/layer-format/node";

import { withFreshFileSystem } from "./fresh-file-system.mjs";
import { BIG_FILE, smallFiles } from "./fuse-files.mjs";
import { median, ROUNDS } from "./rounds.mjs";
import { shell } from "./shell.mjs";

const READER = fileURLToPath(new URL("fuse-reader.mjs", import.meta.url));
const BIG_BYTES = 1 << 30;
const MEASURES = [
  ["stats", "uncached stats/s"],
  ["together", "uncached stats/s by four at once"],
  ["files", "small files/s"],
  ["megabytes", "MB/s"],
];

export async function benchFuse() {
  await withFreshFileSystem(async (place) => {
    const [source, target] = [join(place, "source"), join(place, "target")];
    mkdirSync(target);
    writeFiles(source);
    const tree = await openDirectoryTree(source);
    const mounts = { lamella: ours(tree), bind: theirs(`mount --bind ${source}`) };
    if (shell("command -v fuse-overlayfs || true") !== "")
      mounts["fuse-overlayfs"] = theirs(`fuse-overlayfs -o lowerdir=${source}:${emptyDirectory(place)}`);
    else console.log("fuse-overlayfs is not installed: without it");

    const results = Object.fromEntries(Object.keys(mounts).map((name) => [name, []]));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, mount] of Object.entries(mounts)) {
        const unmount = await mount(target);
        const result = { ...(await use(target)), ...(await use(target, "4")) };
        if (round > 0) results[name].push(result);
        await unmount();
      }
    }
    for (const [key, title] of MEASURES) {
      const of = (name) => median(results[name].map((result) => result[key]));
      const peers = Object.keys(mounts).slice(1);
      const shown = peers.map((name) => `${name} ${of(name)} (ratio ${(of("lamella") / of(name)).toFixed(2)})`);
      console.log(`${title}: lamella ${of("lamella")}  ${shown.join("  ")}`);
    }
  });
  console.log(`(Node ${process.versions.node}; each number the median of ${ROUNDS} after a warm-up, in turn)`);
}

async function use(...args) {
  writeFileSync("/proc/sys/vm/drop_caches", "2");
  const { stdout } = await promisify(execFile)(process.execPath, [READER, ...args]);
  return JSON.parse(stdout);
}

function writeFiles(directory) {
  for (const name of smallFiles()) {
    mkdirSync(join(directory, dirname(name)), { recursive: true });
    writeFileSync(join(directory, name), `export const name = ${JSON.stringify(name)};\n`.repeat(20));
  }
  writeFileSync(join(directory, BIG_FILE), Buffer.alloc(BIG_BYTES, "one byte after the other"));
}

function ours(tree) {
  return async (target) => {
    const mount = await mountTree(tree, target);
    return () => mount.unmount();
  };
}

function theirs(command) {
  return async (target) => {
    // it says much
    execFileSync("bash", ["-c", `${command} ${target}`], { stdio: "pipe" });
    return () => execFileSync("umount", [target]);
  };
}

/** fuse-overlayfs takes two layers at least where nothing is to be written. */
function emptyDirectory(place) {
  const directory = join(place, "empty");
  mkdirSync(directory);
  return directory;
}
