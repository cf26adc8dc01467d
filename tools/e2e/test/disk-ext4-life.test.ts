import { copyFile, mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { planDisk, writeDisk } from "@lamella/disk-export";
import { memoryTree } from "@lamella/layer-format/testing";
import { e2fsck, missing, runCommand, withMount } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const CONTENT = "here before and after".repeat(1000);
const reason = missing(["root", "mount", "losetup", "e2fsck", "resize2fs"]);

describe.skipIf(reason !== undefined).each([true, false])(
  `an ext4 disk that is written to, with a journal: %s ${reason ?? ""}`,
  (journal) => {
    let work = "";
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-ext4-life-"));
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("is clean after it was filled up and emptied again", async () => {
      const image = await make(64 * MIB);
      await mounted(image, async (directory) => {
        let written = 0;
        const chunk = new Uint8Array(MIB).fill(0x61);
        await expect(
          (async () => {
            for (; ; written++) await writeFile(join(directory, "etc", `full ${written}`), chunk);
          })(),
        ).rejects.toMatchObject({ code: "ENOSPC" });
        expect(written).toBeGreaterThan(60);
        for (let at = 0; at <= written; at++) await rm(join(directory, "etc", `full ${at}`), { force: true });
      });
      await expectSound(image);
    });

    it("grows to 60 GiB, unmounted", async () => {
      const image = await make(64 * MIB);
      await truncate(image, 60 * GIB);
      await runCommand("resize2fs", [image], { accept: [0] });
      await expectSound(image);
    });

    if (journal) {
      it("has what was synced before the power was cut", async () => {
        const image = await make(64 * MIB);
        const cut = join(work, "cut");
        await mounted(image, async (directory) => {
          for (let at = 0; at < 300; at++) {
            await using file = await open(join(directory, "etc", `new ${at}`), "w");
            await file.writeFile(`content ${at}`);
            await file.sync();
          }
          await rm(join(directory, "etc/new 7"));
          // what a machine without power finds: the file system was not unmounted
          await copyFile(image, cut);
        });
        expect((await e2fsck(cut)).output).toMatch(/skipping journal recovery|needs_recovery/i);

        await mounted(cut, async (directory) => {
          const names = (await readdir(join(directory, "etc"))).filter((name) => name.startsWith("new "));
          expect(names.length).toBeGreaterThanOrEqual(299);
          expect(await readFile(join(directory, "etc/new 299"), "utf8")).toBe("content 299");
        });
        await expectSound(cut);
      });
    }

    async function make(freeBytes: number): Promise<string> {
      const image = join(work, "disk.ext4");
      await rm(image, { force: true });
      await using tree = memoryTree([{ path: "etc/file", content: CONTENT }]);
      await using plan = await planDisk(tree, { format: "ext4", freeBytes, journal });
      await writeDisk(plan, image);
      return image;
    }

    async function expectSound(image: string): Promise<void> {
      const { clean, output } = await e2fsck(image);
      expect(clean, output).toBe(true);
      await mounted(image, async (directory) => {
        expect(await readFile(join(directory, "etc/file"), "utf8")).toBe(CONTENT);
      });
    }
  },
);

/** Mounts to write, on a loop device of its own. */
async function mounted(image: string, use: (directory: string, device: string) => Promise<void>): Promise<void> {
  const { output } = await runCommand("losetup", ["--find", "--show", image], { accept: [0] });
  const device = output.trim();
  try {
    await withMount({ parameters: ["-t", "ext4", device] }, (directory) => use(directory, device));
  } finally {
    await runCommand("losetup", ["--detach", device], { accept: [0] });
  }
}
