import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { bootDisk, debianKernel, missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const ROOT = join(import.meta.dirname, "../../..");
const reason = missing(["root", "docker-registry", "qemu-system-x86_64", "busybox", "cpio"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`debian-slim boots (${reason ?? "in QEMU, by Debian's cloud kernel"})`, () => {
  let work = "";
  beforeAll(async () => {
    await fixtures(["debian-slim"]);
    work = await mkdtemp(join(tmpdir(), "lamella-boot-test-"));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each(["ext4", "erofs", "cpio"] as const)("from %s", async (format) => {
    await using registry = await startFixtureRegistry();
    const image = join(work, `disk.${format}`);
    const run = await lamella(["disk", `${registry.address}/debian-slim`, "-o", image, "--root", join(work, "root")]);
    expect(run.status, run.stderr).toBe(0);
    const report = await bootDisk({ image, format, kernel: await debianKernel() });
    expect(report.booted, report.console).toBe(true);
  });
});

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
