import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `use` with a directory on a new ext4 of its own, so that no measure pays for what lay there before. */
export async function withFreshFileSystem(use) {
  const place = mkdtempSync(join(tmpdir(), "lamella-bench-"));
  const image = `${place}.ext4`;
  execFileSync("truncate", ["-s", "16G", image]);
  execFileSync("mke2fs", ["-q", "-t", "ext4", image]);
  execFileSync("mount", ["-o", "loop", image, place]);
  try {
    await use(place);
  } finally {
    execFileSync("umount", [place]);
    rmSync(place, { recursive: true });
    rmSync(image);
  }
}
