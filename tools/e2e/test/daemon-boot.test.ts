import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { bootDisk, debianKernel, missing, runCommand } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startLamellad } from "./daemon-process.js";
import type { DaemonProcess } from "./daemon-process.js";

const reason =
  missing(["root", "docker-registry", "buildah", "qemu-system-x86_64", "busybox", "cpio"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`what buildah pushes to lamellad boots (${reason ?? "in QEMU"})`, () => {
  let work = "";
  let daemon: DaemonProcess;
  let key = "";
  beforeAll(async () => {
    await fixtures(["debian-slim"]);
    work = await mkdtemp(join(tmpdir(), "lamella-daemon-boot-"));
    daemon = await startLamellad({ root: join(work, "store") });
    const storage = [
      "--root",
      join(work, "buildah"),
      "--runroot",
      join(work, "buildah-run"),
      "--storage-driver",
      "vfs",
    ];
    const buildah = async (...parameters: string[]): Promise<string> =>
      (await runCommand("buildah", [...storage, ...parameters], { accept: [0], environment: { TMPDIR: work } })).output;
    {
      await using registry = await startFixtureRegistry();
      await buildah("pull", "--quiet", "--tls-verify=false", `${registry.address}/debian-slim:latest`);
    }
    const id = (await buildah("images", "--quiet", "--no-trunc")).trim();
    await buildah("push", "--quiet", "--tls-verify=false", id, `docker://${daemon.host}/debian:slim`);
  });
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it("from the disk that it has made of it unasked", async () => {
    const image = await daemon.ended("localhost/debian:slim");
    expect(image).toMatchObject({ status: "ready", error: null, disks: [{ format: "ext4" }] });
    const [disk] = image.disks;
    key = disk!.key;
    const response = await fetch(`${daemon.url}/disks/${key}`);
    expect(response.headers.get("content-length")).toBe(String(disk!.size_bytes));
    const file = join(work, "disk.ext4");
    await pipeline(Readable.fromWeb(response.body as ReadableStream<Uint8Array>), createWriteStream(file));
    const report = await bootDisk({ image: file, format: "ext4", kernel: await debianKernel() });
    expect(report.booted, report.console).toBe(true);
  });

  it("from the same disk, attached over NBD and never downloaded", async () => {
    const { uri } = await daemon.ask<{ uri: string }>("PUT", `/disks/${key}/nbd`);
    const report = await bootDisk({ image: uri, format: "ext4", kernel: await debianKernel() });
    expect(report.booted, report.console).toBe(true);
    await daemon.ask("DELETE", `/disks/${key}/nbd`);
    expect(await daemon.ask("GET", "/nbd")).toEqual([]);
  });
});
