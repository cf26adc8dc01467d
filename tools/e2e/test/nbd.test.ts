import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";

import { fixtures, missingForFixtures } from "@lamella/fixtures";
import { bootDisk, debianKernel, missing, runCommand } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startCountingProxy } from "./counting-proxy.js";
import { type DockerRegistry, startDockerRegistry } from "./docker-registry.js";
import { blobPath, convertLayer, layersOf, writeImage } from "./estargz-image.js";
import { lamella } from "./lamella.js";
import { withServedDisk } from "./served-disk.js";

const MINUTES = 60_000;
const MIB = 2 ** 20;
const clients = ["qemu-img", "qemu-io", "nbdinfo", "nbdcopy"];
const machine = ["qemu-system-x86_64", "busybox", "cpio"];
const reason = missing(["root", ...clients, ...machine, "docker-registry", "skopeo"]) ?? missingForFixtures();

/** What a client says, and the status it ends with. */
async function run(tool: string, ...parameters: string[]): Promise<{ exitCode: number; output: string }> {
  return runCommand(tool, parameters);
}

async function json<T>(tool: string, ...parameters: string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(tool, parameters);
  return JSON.parse(stdout) as T;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest("hex")}`;
}

describe.skipIf(reason !== undefined)(`lamella serve nbd (${reason ?? "to qemu and libnbd"})`, () => {
  let work = "";
  let source = "";
  let root: readonly string[] = [];
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-nbd-"));
    source = `oci:${(await fixtures(["debian-slim"])).layout("debian-slim")}:latest`;
    root = ["--root", join(work, "root")];
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  async function writtenDisk(source: string, options: readonly string[]): Promise<{ path: string; digest: string }> {
    const path = join(work, "written");
    const made = await lamella(["disk", source, "-o", path, "--digest", "--json", ...options, ...root]);
    expect(made.status, made.stderr).toBe(0);
    return { path, digest: (JSON.parse(made.stdout) as { digest: string }).digest };
  }

  it("to qemu: the disk that `lamella disk` writes, and its holes", async () => {
    const options = ["--format", "ext4", "--free", "64M"];
    const { path, digest } = await writtenDisk(source, options);
    const copy = join(work, "copy");
    const served = await withServedDisk([source, ...options, ...root], async ({ uri, socket, sizeBytes }) => {
      expect((await lstat(socket)).mode & 0o777).toBe(0o600);
      await run("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, copy);
      expect(await digestOf(copy)).toBe(digest);

      const mapped = await json<Mapped[]>("qemu-img", "map", "-f", "raw", "--output=json", uri);
      expect(mapped.at(-1)!.start + mapped.at(-1)!.length).toBe(sizeBytes);
      const zeros = mapped.filter(({ zero }) => zero);
      expect(zeros.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(60 * MIB);
      for (const hole of await holesOf(path)) expect(zeros.some((zero) => contains(zero, hole))).toBe(true);

      await flipBit(copy, sizeBytes - 5000);
      expect((await run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, copy)).exitCode).toBe(1);
    });
    expect(served).toMatchObject({ status: 0, stderr: "", stats: { failedRequests: 0 } });
  });

  it("to libnbd: the disk that `lamella disk` writes, over four connections, and what it can", async () => {
    const options = ["--format", "erofs"];
    const { digest } = await writtenDisk(source, options);
    const copy = join(work, "copy");
    const served = await withServedDisk([source, ...options, "--port", "0", ...root], async ({ uri, sizeBytes }) => {
      expect(uri).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+$/);
      await run("nbdcopy", "--connections=4", uri, copy);
      expect(await digestOf(copy)).toBe(digest);

      const { exports } = await json<{ exports: object[] }>("nbdinfo", "--json", uri);
      const able = { is_read_only: true, can_multi_conn: true, can_df: true, can_cache: true };
      expect(exports).toEqual([
        expect.objectContaining({ ...able, "export-size": sizeBytes, contexts: ["base:allocation"] }),
      ]);
      const listed = await json<{ exports: object[] }>("nbdinfo", "--list", "--json", uri);
      expect(listed.exports).toHaveLength(1);
      const written = await run("qemu-io", "-f", "raw", "-c", "write 0 4k", uri);
      expect(written.output).toMatch(/permission denied/i);
    });
    expect(served).toMatchObject({ status: 0, stderr: "" });
  });

  it("to a machine that boots from it", async () => {
    const served = await withServedDisk([source, "--format", "erofs", ...root], async ({ uri }) => {
      const report = await bootDisk({ image: uri, format: "erofs", kernel: await debianKernel() });
      expect(report.booted, report.console).toBe(true);
    });
    expect(served).toMatchObject({ status: 0, stats: { failedRequests: 0 } });
  });
});

describe("lamella serve nbd with options that cannot be", () => {
  let root = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "lamella-nbd-options-"));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it.each([
    ["no format", [], /'--format <format>' not specified/],
    ["an archive", ["--format", "tar"], /Allowed choices are ext4, erofs/],
    ["room in EROFS", ["--format", "erofs", "--size", "1G"], /--size for erofs/],
    ["two places", ["--format", "ext4", "--socket", "s", "--port", "1"], /cannot be used with option/],
    ["no port", ["--format", "ext4", "--port", "70000"], /not one from 0 to 65535/],
    ["a long path", ["--format", "ext4", "--socket", "x".repeat(200)], /at most 107 bytes/],
  ])("%s: a message, and no disk", async (_, options, message) => {
    const run = await lamella(["serve", "nbd", `dir:${import.meta.dirname}`, "--root", root, ...options]);
    expect(run.stderr).toMatch(message);
    expect(run.stdout).toBe("");
    expect(run.status).not.toBe(0);
  });
});

describe.skipIf(reason !== undefined)(`lamella serve nbd --lazy (${reason ?? "from a registry, as eStargz"})`, () => {
  let work = "";
  let registry: DockerRegistry;
  let original = "";
  let imageBytes = 0;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-nbd-lazy-"));
    const debian = (await fixtures(["debian-slim"])).layout("debian-slim");
    original = `oci:${debian}:latest`;
    const [base] = await layersOf(debian, "latest");
    const layout = join(work, "layout");
    await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
    const layer = await convertLayer(blobPath(debian, base!.digest), join(work, "layer"));
    imageBytes = layer.size;
    await rename(join(work, "layer"), blobPath(layout, layer.digest));
    await writeImage(layout, [layer]);
    registry = await startDockerRegistry({ directory: join(work, "registry") });
    const target = `docker://${registry.address}/debian:latest`;
    await runCommand("skopeo", ["copy", "--dest-tls-verify=false", `oci:${layout}:latest`, target], { accept: [0] });
  }, 3 * MINUTES);
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it("serves the disk of the image that it was made eStargz of, to the last byte, keeping no more than it may", async () => {
    const path = join(work, "disk");
    const options = ["--format", "ext4", "--json", "--root", join(work, "eager")];
    const made = await lamella(["disk", original, "-o", path, "--digest", ...options]);
    const { digest } = JSON.parse(made.stdout) as { digest: string };

    const root = join(work, "whole");
    const lazy = [`${registry.address}/debian`, "--lazy", "--cache-size", "8M", "--format", "ext4", "--root", root];
    const served = await withServedDisk(lazy, async ({ uri }) => {
      await run("nbdcopy", uri, path);
      expect(await digestOf(path)).toBe(digest);
    });
    expect(served).toMatchObject({ status: 0, stderr: "", stats: { failedRequests: 0 } });
    const { lazyBytes } = JSON.parse((await lamella(["df", "--json", "--root", root])).stdout) as { lazyBytes: number };
    expect(lazyBytes).toBeGreaterThan(2 << 20);
    expect(lazyBytes).toBeLessThanOrEqual(8 << 20);
  });

  it("boots a machine from an image that nobody pulled, with less than half of its bytes", async () => {
    await using proxy = await startCountingProxy(registry.address);
    const lazy = [`${proxy.address}/debian`, "--lazy", "--format", "ext4", "--root", join(work, "boot")];
    const served = await withServedDisk(lazy, async ({ uri }) => {
      const report = await bootDisk({ image: uri, format: "ext4", kernel: await debianKernel() });
      expect(report.booted, report.console).toBe(true);
      const percent = ((100 * proxy.blobBytes) / imageBytes).toFixed(1);
      console.log(
        `booted in ${report.seconds.toFixed(1)} s with ${proxy.blobBytes} of ${imageBytes} bytes: ${percent} %`,
      );
      expect(proxy.blobBytes).toBeLessThan(imageBytes / 2);
    });
    expect(served).toMatchObject({ status: 0, stderr: "", stats: { failedRequests: 0 } });
  });

  it("when the registry goes away: an error in time for what is not here, the bytes for what is, and never zeros", async () => {
    const proxy = await startCountingProxy(registry.address);
    const source = `${proxy.address}/debian`;
    const lazy = [source, "--lazy", "--format", "ext4", "--timeout", "1s", "--root", join(work, "gone")];
    const served = await withServedDisk(lazy, async ({ uri, sizeBytes }) => {
      const bytesOf = ({ output }: { output: string }): string | undefined => output.split("\nread ")[0];
      const read = (offset = 0): Promise<{ output: string }> =>
        run("qemu-io", "-r", "-f", "raw", "-c", `read -v ${offset} 512`, uri);
      const [here, elsewhere] = [0.25, 0.75].map((part) => 4096 * Math.floor((sizeBytes / 4096) * part));
      const before = await read(here);
      await proxy[Symbol.asyncDispose]();
      expect(bytesOf(await read(here))).toBe(bytesOf(before));
      expect((await read(elsewhere)).output).toMatch(/read failed: Input\/output error/);
    });
    expect(served.status).toBe(0);
    expect(served.stats.failedRequests).toBeGreaterThan(0);
    expect(served.stderr).toMatch(/^warning: /);
  });
});

/** Holes of a file as its file system has them, from 64 KiB on. */
async function holesOf(path: string): Promise<Range[]> {
  const mapped = await json<Mapped[]>("qemu-img", "map", "-f", "raw", "--output=json", path);
  return mapped.filter(({ data, length }) => !data && length >= 64 << 10);
}

interface Range {
  readonly start: number;
  readonly length: number;
}

/** What qemu-img tells of a range. */
interface Mapped extends Range {
  readonly data: boolean;
  readonly zero: boolean;
}

function contains(outer: Range, inner: Range): boolean {
  return outer.start <= inner.start && outer.start + outer.length >= inner.start + inner.length;
}

async function flipBit(path: string, at: number): Promise<void> {
  await using file = await open(path, "r+");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0]! ^= 1;
  await file.write(buffer, 0, 1, at);
}
