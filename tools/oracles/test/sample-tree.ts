import { chmod, link, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "../src/command.js";

/** Fills a directory with one of each kind of entry that needs no root. */
export async function makeSampleTree(root: string): Promise<void> {
  await mkdir(join(root, "etc/deep"), { recursive: true });
  await writeFile(join(root, "etc/text"), "hello\n");
  await writeFile(join(root, "etc/empty"), "");
  await writeFile(join(root, "etc/deep/large"), Buffer.alloc(300_000, "0123456789"));
  await truncate(join(root, "etc/deep/large"), 4_000_000);
  await link(join(root, "etc/text"), join(root, "etc/deep/again"));
  await symlink("../text", join(root, "etc/deep/link"));
  await writeFile(join(root, "program"), "#!/bin/sh\n");
  await chmod(join(root, "program"), 0o4755);
  await writeFile(Buffer.concat([Buffer.from(`${root}/raw-`), Buffer.from([0xff, 0x0a, 0x5c])]), "odd name");
  await sh(root, "mkfifo fifo && setfattr -n user.text -v value program && setfattr -n user.empty etc/text");
  await sh(root, "find . -depth -exec touch --no-dereference --date=@1500000000 {} +");
}

/** Runs shell commands in a directory; any failure throws. */
export async function sh(directory: string, script: string): Promise<string> {
  return (await runCommand("sh", ["-e", "-c", script], { cwd: directory, accept: [0] })).output;
}
