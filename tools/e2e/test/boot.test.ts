import { execFile } from "node:child_process";
import { mkdtemp, open, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { planErofsLayers, writeDisk } from "@lamella/disk-export";
import type { Verity } from "@lamella/disk-export";
import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { openTarLayer } from "@lamella/layer-format/node";
import { memoryLayer } from "@lamella/layer-format/testing";
import { bootDisk, debianKernel, missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { layerTars } from "./fixture-layers.js";
import { lamella } from "./lamella.js";

/** Room for a boot loader, which is before every file system's superblock. */
const UNUSED_BYTE = 100;
const ROOT = join(import.meta.dirname, "../../..");
const reason = missing(["root", "docker-registry", "qemu-system-x86_64", "busybox", "cpio"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`debian-slim boots (${reason ?? "in QEMU, by Debian's cloud kernel"})`, () => {
  let work = "";
  beforeAll(async () => {
    await fixtures(["debian-slim"]);
    work = await mkdtemp(join(tmpdir(), "lamella-boot-test-"));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each([
    ["ext4", []],
    ["ext4", ["--free", "64M", "--journal"]],
    ["erofs", []],
    ["erofs", ["--compress", "lz4", "--kernel", "6.1"]],
    ["cpio", []],
  ] as const)("from %s %j", async (format, options) => {
    const image = join(work, `disk.${format}`);
    await disk(image, options);
    const report = await bootDisk({ image, format, kernel: await debianKernel() });
    expect(report.booted, report.console).toBe(true);
  });

  it("from ext4, grows to 60 GiB while it is the root, and is sound then", async () => {
    const image = join(work, "growing.ext4");
    await disk(image, ["--free", "64M", "--journal"]);
    await truncate(image, 60 * 2 ** 30);
    const grow =
      "mount -t devtmpfs dev /dev && mount -o remount,rw / && resize2fs /dev/nvme0n1 && df -k / && sync && mount -o remount,ro /";
    const script = `export PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${grow} && e2fsck -fn /dev/nvme0n1`;
    const report = await bootDisk({ image, format: "ext4", kernel: await debianKernel(), script });
    expect(report.booted, report.console).toBe(true);
    expect(Number(/^\S+ +(\d+) .* \/$/m.exec(report.console)?.[1])).toBeGreaterThan(55 * 2 ** 20);
  });

  it.skipIf(missing(["veritysetup"]) !== undefined).each(["ext4", "erofs"] as const)(
    "from %s that dm-verity guards, but not with one bit changed that nothing else reads",
    async (format) => {
      const image = join(work, `guarded.${format}`);
      const { verity } = await disk(image, ["--verity"]);
      const kernel = await debianKernel();
      const report = await bootDisk({ image, format, kernel, verity });
      expect(report.booted, report.console).toBe(true);

      await flipBit(image, UNUSED_BYTE);
      const other = await bootDisk({ image, format, kernel, verity });
      expect(other.booted, other.console).toBe(false);
      expect(other.console).toMatch(/verity.*(corrupt|mismatch)|metadata block 0 is corrupted|data block 0/i);
    },
  );

  async function disk(image: string, options: readonly string[]): Promise<{ verity: Verity }> {
    await using registry = await startFixtureRegistry();
    const source = `${registry.address}/debian-slim`;
    const run = await lamella(["disk", "--json", source, "-o", image, "--root", join(work, "root"), ...options]);
    expect(run.status, run.stderr).toBe(0);
    return JSON.parse(run.stdout) as { verity: Verity };
  }
});

describe.skipIf(reason !== undefined)(`layers boot (${reason ?? "in QEMU, as an overlay of EROFS disks"})`, () => {
  it.each(["debian-slim", "node-app"] as const)("%s", async (name) => {
    const work = await mkdtemp(join(tmpdir(), "lamella-boot-layers-"));
    try {
      const tars = await layerTars((await fixtures([name])).layout(name), work);
      const [image, ...overlaid] = await layerDisks(tars, work);
      const kernel = await debianKernel();
      const report = await bootDisk({ image: image!, overlaid, format: "erofs", kernel });
      expect(report.booted, report.console).toBe(true);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });

  /** Compressed for the kernel that boots them; above them a layer without an entry, so that there is always something to lay. */
  async function layerDisks(tars: readonly string[], work: string): Promise<string[]> {
    const layers = await Promise.all(tars.map((tar) => openTarLayer(tar)));
    const disks: string[] = [];
    const options = { compression: "lz4", kernel: "6.1" } as const;
    try {
      for await (const plan of planErofsLayers([...layers, memoryLayer([])], options)) {
        await using disk = plan;
        const path = join(work, `${disks.length}.erofs`);
        await writeDisk(disk, path);
        disks.push(path);
      }
    } finally {
      for (const layer of layers) await layer[Symbol.asyncDispose]();
    }
    return disks;
  }
});

async function flipBit(path: string, at: number): Promise<void> {
  await using file = await open(path, "r+");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0]! ^= 1;
  await file.write(buffer, 0, 1, at);
}

describe.skipIf(reason !== undefined)(
  `the sample of npm start boots (${reason ?? "in QEMU, by Debian's cloud kernel"})`,
  () => {
    beforeAll(async () => {
      await promisify(execFile)(process.execPath, [join(ROOT, "tools/demo/dist/main.js")]);
    });

    it.each(["ext4", "erofs", "cpio"] as const)("from %s", async (format) => {
      const image = join(ROOT, `demo/sample.${format}`);
      const report = await bootDisk({ image, format, kernel: await debianKernel() });
      expect(report.booted, report.console).toBe(true);
    });
  },
);
