import { mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { openDirectoryTree } from "@lamella/layer-format/node";
import { describe, expect, it } from "vitest";

import type { DiskFormat } from "../src/disk-plan.js";
import { planDisk } from "../src/disk-planner.js";
import { writeDisk } from "../src/disk-writer.js";
import { exportRootfs } from "../src/export-rootfs.js";
import { isSystemdImage } from "../src/systemd-image.js";
import { temporaryDirectory } from "./temporary-directory.js";

describe("exportRootfs()", () => {
  it.each<[DiskFormat, number, string]>([
    ["ext4", 1024 + 56, "53ef"],
    ["erofs", 1024, "e2e1f5e0"],
    ["cpio", 0, "303730373031"],
    ["tar", 257, "7573746172"],
  ])("writes a directory as %s and gives its size", async (format, offset, magic) => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "root/etc"), { recursive: true });
    await writeFile(join(directory, "root/etc/motd"), "hello from the host");
    const output = join(directory, "disk");
    const sizeBytes = await exportRootfs(join(directory, "root"), output, format);
    const bytes = await readFile(output);
    expect(bytes.length).toBe(sizeBytes);
    expect((await stat(output)).size).toBe(sizeBytes);
    expect(bytes.subarray(offset, offset + magic.length / 2).toString("hex")).toBe(magic);
    expect(bytes.includes("hello from the host")).toBe(true);
  });

  it("leaves nothing for a directory that is not there, and when it is aborted", async () => {
    const directory = await temporaryDirectory();
    const output = join(directory, "disk");
    await expect(exportRootfs(join(directory, "none"), output, "ext4")).rejects.toMatchObject({ code: "ENOENT" });
    const reason = new Error("enough");
    await expect(exportRootfs(directory, output, "ext4", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("a directory that changes underfoot", () => {
  it.each(["ext4", "erofs", "cpio", "tar"] as const)("is an error, and no disk: %s", async (format) => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "root"));
    await writeFile(join(directory, "root/file"), Buffer.alloc(100_000, 1));
    await using tree = await openDirectoryTree(join(directory, "root"));
    await using plan = await planDisk(tree, { format });
    await truncate(join(directory, "root/file"), 50_000);
    await expect(writeDisk(plan, join(directory, "disk"))).rejects.toMatchObject({ code: "tree_changed" });
    expect(await readdir(directory)).toEqual(["root"]);
  });

  it.each([
    { format: "erofs", verity: true },
    { format: "erofs", compression: "lz4" },
    { format: "tar", compression: "gzip" },
  ] as const)("is an error while planning reads it: %j", async (options) => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "file"), Buffer.alloc(100_000, 1));
    await using tree = await openDirectoryTree(directory);
    await truncate(join(directory, "file"), 50_000);
    await expect(planDisk(tree, options)).rejects.toMatchObject({ code: "tree_changed" });
  });
});

describe("isSystemdImage()", () => {
  it.each([
    [{ cmd: ["/sbin/init"] }, true],
    [{ entrypoint: ["/lib/systemd/systemd", "--log-target=console"] }, true],
    [{ entrypoint: [], cmd: ["/usr/lib/systemd/systemd"] }, true],
    [{ entrypoint: ["/bin/sh"], cmd: ["/sbin/init"] }, false],
    [{ cmd: ["/bin/init"] }, false],
    [{ cmd: ["sh", "-c", "/sbin/init"] }, false],
    [{}, false],
  ])("of %j is %s", (config, expected) => {
    expect(isSystemdImage(config)).toBe(expected);
  });
});
