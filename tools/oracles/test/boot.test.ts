import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bootDisk } from "../src/boot-disk.js";
import type { BootReport, BootRequest } from "../src/boot-disk.js";
import { createCpio } from "../src/cpio.js";
import { debianKernel } from "../src/debian-kernel.js";
import { missing, requireTool } from "../src/requirements.js";
import { sh } from "./sample-tree.js";
import { withScratch } from "./scratch.js";

const lacking = missing([
  "qemu-system-x86_64",
  "busybox",
  "cpio",
  "xz",
  "mkfs.ext4",
  "mkfs.erofs",
  "apt-get",
  "dpkg-deb",
]);
const TIMEOUT_MS = 240_000;

const makers = {
  ext4: (scratch: string) =>
    sh(scratch, "PATH=$PATH:/usr/sbin:/sbin; truncate -s 16M image; mkfs.ext4 -q -d root image"),
  erofs: (scratch: string) => sh(scratch, "PATH=$PATH:/usr/sbin:/sbin; mkfs.erofs --quiet image root"),
  cpio: (scratch: string) => createCpio(join(scratch, "root"), join(scratch, "image")),
};

type Settings = Partial<BootRequest> & { format: BootRequest["format"]; change?: string };

/** Boots the smallest root that can: busybox, and `change` made to it before it becomes a disk. */
async function boot({ format, change = "true", ...settings }: Settings): Promise<BootReport> {
  return withScratch(async (scratch) => {
    const image = await makeImage(scratch, format, change);
    return bootDisk({ image, format, kernel: await debianKernel(), ...settings });
  });
}

async function makeImage(scratch: string, format: BootRequest["format"], change: string): Promise<string> {
  await mkdir(join(scratch, "root/bin"), { recursive: true });
  await sh(scratch, `cp '${requireTool("busybox")}' root/bin/busybox; mkdir root/proc root/dev`);
  await sh(scratch, "for a in sh mount sleep uname; do ln -s busybox root/bin/$a; done");
  await sh(join(scratch, "root"), change);
  await makers[format](scratch);
  return join(scratch, "image");
}

describe.skipIf(lacking !== undefined)(`bootDisk() ${lacking ?? ""}`, () => {
  const formats = ["ext4", "erofs", "cpio"] as const;

  it.each(formats)("boots a good %s disk", { timeout: TIMEOUT_MS }, async (format) => {
    const report = await boot({ format });
    expect(report.booted, report.console).toBe(true);
  });

  it.each(formats)("sees that an %s disk without a shell does not boot", { timeout: TIMEOUT_MS }, async (format) => {
    const report = await boot({ format, change: "rm bin/sh" });
    expect(report).toMatchObject({ booted: false, console: expect.stringContaining("panic") });
  });

  it("sees that a script in the booted root fails", { timeout: TIMEOUT_MS }, async () => {
    expect(await boot({ format: "ext4", script: "[ -x /bin/busybox ] && [ -e /nowhere ]" })).toMatchObject({
      booted: false,
    });
    expect(await boot({ format: "ext4", script: "[ -x /bin/busybox ]" })).toMatchObject({ booted: true });
  });

  it("sees that an overlay lacks a disk", { timeout: TIMEOUT_MS }, async () => {
    await withScratch(async (scratch) => {
      await sh(scratch, "truncate -s 16M zeros");
      const report = await boot({ format: "erofs", overlaid: [join(scratch, "zeros")] });
      expect(report).toMatchObject({ booted: false, console: expect.stringContaining("mount of /dev/nvme0n2 failed") });
    });
  });

  it("sees that an empty disk does not boot, whatever it is said to be", { timeout: TIMEOUT_MS }, async () => {
    await withScratch(async (scratch) => {
      await sh(scratch, "truncate -s 16M zeros");
      const kernel = await debianKernel();
      for (const format of ["ext4", "erofs"] as const) {
        expect(await bootDisk({ image: join(scratch, "zeros"), format, kernel })).toMatchObject({ booted: false });
      }
    });
  });

  it("switches a machine off that takes too long", { timeout: TIMEOUT_MS }, async () => {
    const report = await boot({ format: "ext4", timeoutMs: 300 });
    expect(report).toMatchObject({ booted: false, console: expect.stringContaining("switched off") });
  });

  it("cuts the power as soon as the console says so", { timeout: TIMEOUT_MS }, async () => {
    const cutWhen = (console: string): boolean => /^ready \d$/m.test(console);
    const script = "echo ready $((1 + 1)); sleep 600";
    const report = await boot({ format: "ext4", script, cutWhen });
    expect(report).toMatchObject({ booted: false, console: expect.stringMatching(/^ready 2$[^]*the power was cut$/m) });
    expect(report.seconds).toBeLessThan(180);
    expect(await boot({ format: "ext4", cutWhen })).toMatchObject({ booted: true });
  });

  it("rejects with what the judge of the console throws", { timeout: TIMEOUT_MS }, async () => {
    const reason = new Error("illegible");
    const cutWhen = (): never => {
      throw reason;
    };
    await expect(boot({ format: "ext4", cutWhen })).rejects.toBe(reason);
  });

  it("keeps what the machine wrote only in a writable disk", { timeout: TIMEOUT_MS }, async () => {
    await withScratch(async (scratch) => {
      const image = await makeImage(scratch, "ext4", "ln -s busybox bin/sync");
      const request = { image, format: "ext4", kernel: await debianKernel() } as const;
      const before = await readFile(image);

      const written = "echo written $((40 + 2)) > /proof; sync";
      const thrown = await bootDisk({ ...request, script: `mount -o remount,rw / && ${written}` });
      expect(thrown.booted, thrown.console).toBe(true);
      expect((await readFile(image)).equals(before)).toBe(true);

      const kept = await bootDisk({ ...request, script: written, writable: true });
      expect(kept.booted, kept.console).toBe(true);
      expect((await readFile(image)).includes("written 42\n")).toBe(true);
    });
  });

  it("ends the machine and rejects with the signal's reason", { timeout: TIMEOUT_MS }, async () => {
    await debianKernel();
    const reason = new Error("enough");
    const controller = new AbortController();
    const booting = boot({ format: "ext4", signal: controller.signal });
    setTimeout(() => controller.abort(reason), 1000);
    await expect(booting).rejects.toBe(reason);
  });
});
