import { execFileSync } from "node:child_process";
import { chownSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const canMount = process.getuid?.() === 0 && existsSync("/usr/sbin/mke2fs") && existsSync("/dev/loop-control");

/** Three files that grow in turn, with holes: each gets an extent of its own for every block. */
async function writeFragmented(root: string): Promise<void> {
  const files = await Promise.all([0, 1, 2].map((index) => open(join(root, `fragmented${index}`), "w")));
  for (let round = 0; round < 400; round++) {
    for (const file of files) await file.write(new Uint8Array(4096).fill(round + 1), 0, 4096, round * 8192);
    if (round % 20 === 0) for (const file of files) await file.sync();
  }
  for (const file of files) await file.close();
}

async function fill(root: string): Promise<void> {
  mkdirSync(join(root, "many"));
  const names = Array.from({ length: 5000 }, (_, index) => join(root, "many", `${"n".repeat(index % 200)}${index}`));
  for (const [index, name] of names.entries()) writeFileSync(name, "y".repeat(index % 170));
  for (const name of names.filter((_, index) => index % 3 === 0)) rmSync(name);
  await writeFragmented(root);
  execFileSync("fallocate", ["--posix", "-l", "5M", join(root, "allocated")]);
  const allocated = await open(join(root, "allocated"), "r+");
  await allocated.write(new Uint8Array(10_000).fill(7), 0, 10_000, 1 << 20);
  await allocated.close();
  execFileSync("mknod", [join(root, "null"), "c", "1", "3"]);
  execFileSync("mknod", [join(root, "disk"), "b", "300", "70000"]);
  execFileSync("mkfifo", [join(root, "fifo")]);
  for (const length of [59, 60, 4000]) symlinkSync("t".repeat(length), join(root, `link${length}`));
  linkSync(join(root, "allocated"), join(root, "again"));
  chownSync(join(root, "allocated"), 100_000, 3_000_000_000);
}

describe.skipIf(!canMount)("an ext4 disk that Linux wrote [skipped without root and loop devices]", () => {
  it.each([["inline_data,ea_inode"], ["^extent,^64bit"]])(
    "with %s is read as Linux shows it",
    async (features) => {
      const work = mkdtempSync(join(tmpdir(), "lamella-kernel-"));
      const [disk, mounted] = [join(work, "disk"), join(work, "mounted")];
      mkdirSync(mounted);
      execFileSync("truncate", ["-s", "300M", disk]);
      execFileSync("/usr/sbin/mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-O", features, disk]);
      try {
        execFileSync("mount", ["-o", "loop", disk, mounted]);
        await fill(mounted);
        execFileSync("umount", [mounted]);
        execFileSync("mount", ["-o", "loop,ro", disk, mounted]);
        // Node sees no xattrs; an empty lost+found is not shown.
        expect(await lamella(["diff", `dir:${mounted}`, `disk:${disk}`, "--ignore", "xattrs"])).toMatchObject({
          status: 1,
          stdout: "- /lost+found\n",
          stderr: "",
        });
      } finally {
        execFileSync("umount", [mounted]);
        rmSync(work, { recursive: true, force: true });
      }
    },
    60_000,
  );
});
