/**
 * Whole commands against real peers, in turn in one run, on one fresh journaled file system.
 * Every line is a median of five and a ratio to the peer; nothing here decides a test.
 */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { startFixtureRegistry } from "@lamella/fixtures";

import { withFreshFileSystem } from "./fresh-file-system.mjs";
import { ROUNDS, takeTurns } from "./rounds.mjs";
import { shell } from "./shell.mjs";

const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));

/** Each contender starts from an empty directory. */
async function compare(title, place, ours, peer) {
  const work = join(place, "work");
  const clear = async () => {
    rmSync(work, { recursive: true, force: true });
    execFileSync("mkdir", [work]);
    execFileSync("sync");
  };
  const tasks = [ours, peer].map((script) => async () => void shell(script, { W: work }));
  const [our, their] = await takeTurns(tasks, clear);
  console.log(`${title.padEnd(52)} ${our.toFixed(2)} s  peer ${their.toFixed(2)} s  ratio ${(our / their).toFixed(2)}`);
}

export async function benchCommands(images) {
  const registry = await startFixtureRegistry();
  try {
    await withFreshFileSystem(async (place) => {
      const lamella = `${process.execPath} ${LAMELLA}`;
      for (const image of images) {
        const reference = `${registry.address}/${image}:latest`;
        const skopeo = `skopeo --insecure-policy copy -q --src-tls-verify=false docker://${reference} oci:$W/oci:latest`;
        const unpack = `umoci unpack --image $W/oci:latest $W/bundle 2>$W/log`;
        await compare(
          `${image}: copy to a layout | skopeo copy`,
          place,
          `${lamella} copy -q ${reference} oci:$W/oci:latest`,
          skopeo,
        );
        await compare(
          `${image}: pull, readable | skopeo, umoci unpack`,
          place,
          `${lamella} pull -q --root $W/root ${reference}`,
          `${skopeo}; ${unpack}`,
        );
        await compare(
          `${image}: ext4 disk | skopeo, umoci, mke2fs -d`,
          place,
          `${lamella} disk -q --root $W/root ${reference} -o $W/disk.ext4`,
          `${skopeo}; ${unpack}; mke2fs -q -t ext4 -O ^has_journal -N 200000 -d $W/bundle/rootfs $W/disk.ext4 4G`,
        );
      }
      const slim = `${registry.address}/debian-slim:latest`;
      await compare(
        "debian-slim: EROFS disk | skopeo, umoci, mkfs.erofs",
        place,
        `${lamella} disk -q --root $W/root ${slim} -o $W/disk.erofs`,
        `skopeo --insecure-policy copy -q --src-tls-verify=false docker://${slim} oci:$W/oci:latest; umoci unpack --image $W/oci:latest $W/bundle 2>$W/log; mkfs.erofs --quiet $W/disk.erofs $W/bundle/rootfs >$W/log`,
      );
    });
  } finally {
    await registry.close();
  }
  const helpers = ["igzip", "unpigz"].filter((name) =>
    (process.env.PATH ?? "").split(":").some((directory) => existsSync(join(directory, name))),
  );
  console.log(
    `(on PATH: ${helpers.join(", ") || "no parallel gzip"}; each line the median of ${ROUNDS} after a warm-up)`,
  );
}
