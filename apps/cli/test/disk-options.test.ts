import { describe, expect, it } from "vitest";

import { diskCommand } from "../src/commands/disk.js";
import { formatOfName, planOptions, requireDiskFlags } from "../src/disk-options.js";
import type { DiskFlags } from "../src/disk-options.js";

const context = { architecture: "arm64", environment: {} };

describe("planOptions()", () => {
  it("passes on what was said and nothing else", () => {
    expect(planOptions("ext4", { size: 4096, label: "root" }, context)).toEqual({
      format: "ext4",
      sizeBytes: 4096,
      label: "root",
    });
    expect(planOptions("cpio", {}, context)).toEqual({ format: "cpio" });
  });

  it("knows each flag of each format", () => {
    const room = { free: 1, journal: false, inodes: 2, reserved: 3 };
    const volume = { label: "l", uuid: "u", kernel: "6.1", verity: true, gpt: true, align: 512 };
    const common = {
      label: "l",
      uuid: "u",
      kernel: "6.1",
      verity: true,
      gpt: { architecture: "arm64" },
      alignBytes: 512,
    };
    expect(planOptions("ext4", { ...room, ...volume }, context)).toEqual({
      format: "ext4",
      freeBytes: 1,
      journal: false,
      inodes: 2,
      reservedPercent: 3,
      ...common,
    });
    expect(planOptions("erofs", { compress: "lz4", threads: 2, ...volume }, context)).toEqual({
      format: "erofs",
      compression: "lz4",
      threads: 2,
      ...common,
    });
    expect(planOptions("erofs", { dedupe: true }, context)).toEqual({ format: "erofs", dedupe: true });
    expect(planOptions("tar", { compress: "gzip", align: 4096 }, context)).toEqual({
      format: "tar",
      compression: "gzip",
      alignBytes: 4096,
    });
  });

  it("gives a verified ext4 no journal, whatever its size", () => {
    expect(planOptions("ext4", { size: 1 << 30, verity: true }, context)).toMatchObject({ journal: false });
  });

  it("takes the time from SOURCE_DATE_EPOCH", () => {
    const environment = { SOURCE_DATE_EPOCH: "1735689600" };
    expect(planOptions("erofs", {}, { ...context, environment })).toEqual({
      format: "erofs",
      epochSeconds: 1_735_689_600,
    });
  });

  it.each(["-1", "soon", "1e3", "9".repeat(20)])("refuses SOURCE_DATE_EPOCH %s", (text) => {
    const environment = { SOURCE_DATE_EPOCH: text };
    expect(() => planOptions("ext4", {}, { ...context, environment })).toThrow(/SOURCE_DATE_EPOCH/);
  });
});

describe("requireDiskFlags()", () => {
  it.each<[Parameters<typeof requireDiskFlags>[0], DiskFlags, string]>([
    ["erofs", { size: 1 }, "cannot use --size for erofs: it is for ext4"],
    ["cpio", { free: 1 }, "cannot use --free for cpio: it is for ext4"],
    ["cpio", { label: "x" }, "cannot use --label for cpio: it is for ext4, erofs"],
    ["tar", { verity: true }, "cannot use --verity for tar: it is for ext4, erofs"],
    ["cpio", { gpt: true }, "cannot use --gpt for cpio: it is for ext4, erofs"],
    ["erofs", { journal: false }, "cannot use --journal for erofs: it is for ext4"],
    ["ext4", { compress: "lz4" }, "cannot use --compress for ext4: it is for erofs, cpio, tar"],
    ["erofs", { compress: "gzip" }, "cannot use --compress gzip for erofs: it has none, lz4, deflate, zstd"],
    ["cpio", { compress: "zstd" }, "cannot use --compress zstd for cpio: it has none, gzip"],
    ["erofs", { threads: 2 }, "cannot use --threads without --compress: nothing is done by more than one"],
    ["ext4", { dedupe: true }, "cannot use --dedupe for ext4: it is for erofs"],
    [
      "erofs",
      { dedupe: true, compress: "lz4" },
      "cannot use --dedupe with --compress lz4: a disk is the one or the other",
    ],
    [
      "ext4",
      { verity: true, journal: true },
      "cannot use --journal with --verity: nobody can write to a disk that is verified",
    ],
  ])("refuses for %s %j", (format, flags, message) => {
    expect(() => requireDiskFlags(format, flags)).toThrow(expect.objectContaining({ code: "option_invalid", message }));
  });
});

describe("formatOfName()", () => {
  it.each([
    ["a/rootfs.erofs", "erofs", {}],
    ["x.tar", "tar", {}],
    ["initrd.cpio.gz", "cpio", { compress: "gzip" }],
    ["disk.img", "ext4", {}],
    ["disk.erofs.gz", "erofs", {}],
    ["-", "ext4", {}],
  ] as const)("of %s is %s", (name, format, flags) => {
    expect(formatOfName(name)).toEqual({ format, flags });
  });
});

describe("lamella disk", () => {
  /** What an option's `dest` would be: a flag of the help that no format takes would be one that does nothing. */
  it("has an option for each flag", () => {
    const names = diskCommand().options.map((option) => option.attributeName());
    for (const flag of [
      "size",
      "free",
      "journal",
      "inodes",
      "reserved",
      "compress",
      "dedupe",
      "threads",
      "label",
      "uuid",
      "kernel",
      "verity",
      "gpt",
      "align",
    ])
      expect(names).toContain(flag);
  });

  it.each([
    [["-o", "x"], "source"],
    [["dir:/tmp"], "--output"],
  ])("is refused with %j alone", async (args, missing) => {
    const command = diskCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
    await expect(command.parseAsync(args, { from: "user" })).rejects.toThrow(missing);
  });
});
