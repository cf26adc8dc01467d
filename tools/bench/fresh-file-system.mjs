import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `use` with a directory on a new ext4 of its own, so that no measure pays for what lay there before. */
export async function withFreshFileSystem(use) {
  await withMountPoint(async (place) => {
    const image = `${place}.ext4`;
    execFileSync("truncate", ["-s", "16G", image]);
    try {
      execFileSync("mke2fs", ["-q", "-t", "ext4", image]);
      await withMounted(["-o", "loop", image, place], use);
    } finally {
      rmSync(image);
    }
  });
}

/** Runs `use` with a directory in memory: a device that everybody waits for as long would hide what they do themselves. */
export async function withFileSystemInMemory(use) {
  await withMountPoint((place) => withMounted(["-t", "tmpfs", "-o", "size=75%", "tmpfs", place], use));
}

async function withMountPoint(use) {
  const place = mkdtempSync(join(tmpdir(), "lamella-bench-"));
  try {
    await use(place);
  } finally {
    rmSync(place, { recursive: true });
  }
}

async function withMounted(parameters, use) {
  const place = parameters.at(-1);
  execFileSync("mount", parameters);
  try {
    await use(place);
  } finally {
    execFileSync("umount", [place]);
  }
}
