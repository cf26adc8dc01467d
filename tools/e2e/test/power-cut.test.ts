import { constants } from "node:fs";
import { copyFile, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDisk } from "@lamella/disk-export";
import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { bootDisk, debianKernel, e2fsck, missing, mountImage, runCommand } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

/** The console names so many before the power is cut: too few to fill the journal, which the kernel would have to empty then. */
const FILES = 60;
/** Of two blocks, so that there is data beside what the journal holds. */
const CONTENT_CHARACTERS = 5000;
/** On a slow machine half a minute may pass: then the kernel would write to its place what the journal holds. */
const WRITE_NOTHING_BY_AGE = "echo 0 > /proc/sys/vm/dirty_writeback_centisecs";
/**
 * Each file is named once fsync(2) has promised that it stays. The directories come and go so that files take blocks that the
 * journal remembers as directories: without its revocations, replaying it would spoil them.
 */
const WRITE_FOR_EVER = `n=0; while n=$((n+1)); do
  mkdir /cut/gone$n; rm -rf /cut/gone$((n-1));
  printf %0${CONTENT_CHARACTERS}d $n > /cut/$n && sync /cut/$n && echo synced $n;
done`.replaceAll(/\n */g, " ");
const reason = missing(["root", "docker-registry", "qemu-system-x86_64", "e2fsck", "mount"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(
  `debian-slim as ext4, whose power is cut while it writes (${reason ?? "in QEMU, by Debian's cloud kernel"})`,
  () => {
    let work = "";
    let image = "";
    let synced: readonly string[] = [];

    beforeAll(async () => {
      await fixtures(["debian-slim"]);
      work = await mkdtemp(join(tmpdir(), "lamella-power-cut-"));
      image = join(work, "disk");
      await makeDisk(image);
      synced = await cutWhileWriting(image);
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("is left with a journal that is to be replayed, and without it lacks files", async () => {
      expect((await e2fsck(image)).output).toMatch(/skipping journal recovery/i);
      await expect(openDisk(image)).rejects.toMatchObject({ message: expect.stringContaining("journal") });
      const last = (root: string): Promise<string> => readFile(join(root, "cut", synced.at(-1)!), "latin1");
      const unreplayed = { image, format: "ext4", options: ["noload"] };
      await expect(mountImage(unreplayed, last)).rejects.toMatchObject({ code: "ENOENT" });
    });

    it("has every file that was synced, after e2fsck replayed it", async () => {
      const copy = await copyOf(image);
      const { exitCode, output } = await runCommand("e2fsck", ["-p", copy]);
      expect(exitCode, output).toBe(0);
      expect(output).toContain("recovering journal");
      await expectWhole(copy);
    });

    it("has every file that was synced, and boots, after the kernel replayed it", async () => {
      const copy = await copyOf(image);
      const script = "export PATH=/usr/bin:/bin; dmesg | grep EXT4 && mount -o remount,ro /";
      const kernel = await debianKernel();
      const report = await bootDisk({ image: copy, format: "ext4", kernel, writable: true, script });
      expect(report.booted, report.console).toBe(true);
      expect(report.console).toContain("recovery complete");
      await expectWhole(copy);
    });

    async function makeDisk(path: string): Promise<void> {
      await using registry = await startFixtureRegistry();
      const source = `${registry.address}/debian-slim`;
      const options = ["--free", "100M", "--journal", "--root", join(work, "root")];
      const run = await lamella(["disk", source, "-o", path, ...options]);
      expect(run.status, run.stderr).toBe(0);
    }

    /** Gives the names of the files that are safe. */
    async function cutWhileWriting(path: string): Promise<string[]> {
      const named = (console: string): string[] => [...console.matchAll(/^synced (\d+)\n/gm)].map(([, name]) => name!);
      const report = await bootDisk({
        image: path,
        format: "ext4",
        kernel: await debianKernel(),
        writable: true,
        script: `export PATH=/usr/bin:/bin; ${WRITE_NOTHING_BY_AGE}; mkdir /cut; ${WRITE_FOR_EVER}`,
        cutWhen: (console) => named(console).length >= FILES,
      });
      expect(report.console).toMatch(/the power was cut$/m);
      return named(report.console);
    }

    async function copyOf(path: string): Promise<string> {
      const copy = join(work, "copy");
      await copyFile(path, copy, constants.COPYFILE_FICLONE);
      return copy;
    }

    async function expectWhole(path: string): Promise<void> {
      const { clean, output } = await e2fsck(path);
      expect(clean, output).toBe(true);
      const found = await mountImage({ image: path, format: "ext4" }, contents);
      expect(synced.filter((name) => found.get(name) !== name.padStart(CONTENT_CHARACTERS, "0"))).toEqual([]);
      await using tree = await openDisk(path);
      expect(await tree.lookup(`cut/${synced.at(-1)}`)).toMatchObject({ size: CONTENT_CHARACTERS });
    }
  },
);

/** Of the files that the machine wrote, by the name. */
async function contents(root: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(join(root, "cut"), { withFileTypes: true })) {
    if (entry.isFile()) found.set(entry.name, await readFile(join(root, "cut", entry.name), "latin1"));
  }
  return found;
}
