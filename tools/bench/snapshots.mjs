/**
 * `npm run bench snapshots`: the layer that ten changed files of a snapshot of 100,000 make, beside `ctr snapshots diff`. Both are processes; containerd's
 * daemon is running already, and has both trees mounted on this machine's page cache. Needs root.
 */
import { execFileSync } from "node:child_process";
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { withContainerd } from "@lamella/oracles";
import { createSnapshotter, createTreeDriver } from "@lamella/snapshot/node";

import { withFreshFileSystem } from "./fresh-file-system.mjs";
import { fileHeader, writeTarOfFiles } from "./made-tars.mjs";
import { ROUNDS, takeTurns } from "./rounds.mjs";
import { shell } from "./shell.mjs";

const FILES = 100_000;
const CHANGED = 10;
const DIFF = fileURLToPath(new URL("snapshot-diff.mjs", import.meta.url));

export async function benchSnapshots() {
  await withFreshFileSystem(async (place) => {
    const base = join(place, "base.tar");
    await writeTarOfFiles(base, { count: FILES, size: 1000 });
    for (const size of [1000, 10_000]) {
      if (size !== 1000) await writeTarOfFiles(base, { count: FILES, size });
      const directory = join(place, `ours-${size}`);
      await prepareOurs(directory, { base, size });
      await withContainerd({ root: join(place, `containerd-${size}`) }, async ({ ctr }) => {
        await prepareTheirs({ ctr, place, base, size });
        const [ours, theirs] = await takeTurns([
          async () => void execFileSync(process.execPath, [DIFF, directory, join(place, "ours.tar.gz")]),
          async () => void (await ctr(["snapshots", "diff", "active"])),
        ]);
        const found = shell(`tar -tzf ${join(place, "ours.tar.gz")} | grep -vc '/$'`).trim();
        const seconds = `lamella ${ours.toFixed(2)} s  ctr ${theirs.toFixed(2)} s`;
        console.log(
          `${FILES} files of ${size} bytes, ${found} changed: ${seconds}  ratio ${(ours / theirs).toFixed(2)}`,
        );
      });
    }
  });
  console.log(`(Node ${process.versions.node}; each number the median of ${ROUNDS} after a warm-up, in turn)`);
}

function changedFiles(size) {
  return Array.from({ length: CHANGED }, (_, index) => {
    const at = index * (FILES / CHANGED);
    return { name: `usr/lib/node_modules/package-${at >> 5}/lib/file-${at}.js`, content: Buffer.alloc(size, 0x62) };
  });
}

async function prepareOurs(directory, { base, size }) {
  mkdirSync(directory);
  const snapshotter = await createSnapshotter(directory, createTreeDriver());
  await snapshotter.prepare("extract");
  await snapshotter.apply("extract", createReadStream(base, { highWaterMark: 2 ** 20 }));
  await snapshotter.commit("base", "extract");
  await snapshotter.prepare("active", "base");
  const blocks = changedFiles(size).flatMap(({ name, content }) => [
    fileHeader(name, size),
    content,
    Buffer.alloc(-size & 511),
  ]);
  await snapshotter.apply(
    "active",
    (async function* () {
      yield Buffer.concat([...blocks, Buffer.alloc(1024)]);
    })(),
  );
  await snapshotter[Symbol.asyncDispose]();
}

async function prepareTheirs({ ctr, place, base, size }) {
  const archive = writeImage(place, base);
  await ctr(["images", "import", "--snapshotter", "overlayfs", "--base-name", "bench.invalid/base", archive]);
  const parent = `sha256:${digestOf(readFileSync(base))}`;
  const { output } = await ctr(["snapshots", "prepare", "--target", "/target", "active", parent]);
  const target = join(place, `target-${size}`);
  mkdirSync(target);
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", /-o (\S+)/.exec(output)[1], target]);
  for (const { name, content } of changedFiles(size)) writeFileSync(join(target, name), content);
  execFileSync("umount", [target]);
}

/** A docker-archive of one layer. */
function writeImage(place, base) {
  const directory = join(place, "image");
  mkdirSync(directory, { recursive: true });
  execFileSync("cp", ["--reflink=auto", base, join(directory, "layer.tar")]);
  const diffID = `sha256:${digestOf(readFileSync(base))}`;
  const config = { os: "linux", architecture: "amd64", config: {}, rootfs: { type: "layers", diff_ids: [diffID] } };
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  const manifest = [{ Config: "config.json", RepoTags: ["bench.invalid/base:latest"], Layers: ["layer.tar"] }];
  writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
  const archive = join(place, "image.tar");
  execFileSync("tar", ["-C", directory, "-cf", archive, "manifest.json", "config.json", "layer.tar"]);
  return archive;
}

const digestOf = (bytes) => createHash("sha256").update(bytes).digest("hex");
