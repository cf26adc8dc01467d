import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { e2fsck, mountImage, missing, runCommand, withMount } from "@lamella/oracles";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

let work = "";
let source = "";
let output = "";

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "lamella-disk-command-"));
  source = join(work, "source");
  mkdirSync(join(source, "etc"), { recursive: true });
  writeFileSync(join(source, "etc/motd"), "hello from the host\n");
  writeFileSync(join(source, "data"), Buffer.alloc(3_000_000, "not all of it is the same "));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));
beforeEach(() => {
  output = join(mkdtempSync(join(work, "out-")), "disk");
});

interface Verity {
  rootHash: string;
  hashOffset: number;
}

interface Made {
  sizeBytes: number;
  verity?: Verity;
  partition?: { offset: number; sizeBytes: number };
}

async function make(...options: string[]): Promise<Made> {
  const run = await lamella(["disk", `dir:${source}`, "-o", output, "--json", ...options]);
  expect(run.status, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as Made;
}

describe("lamella disk with options that cannot be", () => {
  it.each([
    [["--format", "erofs", "--size", "1G"], /--size for erofs/],
    [["--format", "cpio", "--verity"], /--verity for cpio/],
    [["--format", "ext4", "--compress", "lz4"], /--compress for ext4/],
    [["--format", "tar", "--compress", "zstd"], /--compress zstd for tar/],
    [["--size", "1G", "--free", "1G"], /'--size <bytes>' cannot be used with option '--free <bytes>'/],
    [["--verity", "--journal"], /--journal with --verity/],
    [["--align", "1000"], /align to 1000/],
    [["--uuid", "none"], /UUID/],
    [["--label", "a label of more than sixteen bytes"], /limit is 16/],
    [["--kernel", "new"], /not a version/],
    [["--reserved", "51"], /51/],
  ])("%j: status 2, and nothing at the output", async (options, message) => {
    const run = await lamella(["disk", `dir:${source}`, "-o", output, ...options]);
    expect(run.stderr).toMatch(message);
    expect(run).toMatchObject({ status: 2, stdout: "" });
    expect(readdirSync(join(output, ".."))).toEqual([]);
  });

  it("a kernel that cannot read the disk: status 1, saying which can", async () => {
    const options = ["--format", "erofs", "--compress", "lz4", "--kernel", "5.10"];
    const run = await lamella(["disk", `dir:${source}`, "-o", output, ...options]);
    expect(run.stderr).toMatch(/^lamella: cannot make a disk for Linux 5\.10: .* needs 5\.13\n/);
    expect(run.status).toBe(1);
    expect(existsSync(output)).toBe(false);
  });
});

describe("lamella disk of a directory", () => {
  const loss = { what: "xattrs", count: null, paths: [] };

  it("says that no xattrs are read: once on stderr, and among the losses", async () => {
    const args = ["disk", `dir:${source}`, "-o", output, "--no-progress"];
    const run = await lamella([...args, "--json"]);
    expect(run.stderr).toBe(
      "warning: xattrs of a directory are not read without --xattrs: no file capabilities, no ACLs\n",
    );
    expect(JSON.parse(run.stdout)).toMatchObject({ losses: [loss] });
    expect(await lamella([...args, "--quiet"])).toMatchObject({ status: 0, stderr: "" });
  });

  it("says nothing of a disk that is read back", async () => {
    await make("--format", "ext4");
    const run = await lamella(["disk", `disk:${output}`, "-o", `${output}.erofs`, "--json", "--no-progress"]);
    expect(run).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(run.stdout)).toMatchObject({ losses: [] });
  });
});

const lackingFull = missing(["root", "mount"]);
describe.skipIf(lackingFull !== undefined)(`lamella disk where there is no room ${lackingFull ?? ""}`, () => {
  it.each(["ext4", "erofs", "cpio", "tar"])("%s: status 7, and nothing at the output", async (format) => {
    await withMount({ parameters: ["-t", "tmpfs", "-o", "size=1m", "tmpfs"] }, async (full) => {
      const run = await lamella(["disk", `dir:${source}`, "-o", join(full, "disk"), "--format", format]);
      expect(run.stderr).toMatch(/^lamella: cannot write disk to .*ENOSPC/);
      expect(run).toMatchObject({ status: 7, stdout: "" });
      expect(readdirSync(full)).toEqual([]);
    });
  });

  it("for what is compressed: status 7, and nothing at the output", async () => {
    await withMount({ parameters: ["-t", "tmpfs", "-o", "size=4k", "tmpfs"] }, async (full) => {
      const args = ["disk", `dir:${source}`, "-o", output, "--format", "erofs", "--compress", "lz4"];
      const run = await lamella(args, { env: { TMPDIR: full } });
      expect(run.stderr).toMatch(/ENOSPC/);
      expect(run.status).toBe(7);
      expect(existsSync(output)).toBe(false);
    });
  });
});

const lackingVerity = missing(["veritysetup"]);
describe.skipIf(lackingVerity !== undefined)(`lamella disk --verity ${lackingVerity ?? ""}`, () => {
  async function verify({ rootHash, hashOffset }: Verity): Promise<number> {
    const args = ["verify", output, output, rootHash, `--hash-offset=${hashOffset}`];
    return (await runCommand("veritysetup", args, { accept: [0, 2] })).exitCode;
  }

  it.each([
    ["ext4", []],
    ["ext4", ["--size", "64M"]],
    ["erofs", []],
    ["erofs", ["--compress", "lz4"]],
  ] as const)("%s %j: veritysetup verifies it, but not with one bit changed", async (format, options) => {
    const { verity } = await make("--format", format, "--verity", ...options);
    expect(await verify(verity!)).toBe(0);
    const bytes = readFileSync(output);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(output, bytes);
    expect(await verify(verity!)).toBe(2);
  });
});

const lackingTable = missing(["root", "mount", "sgdisk"]);
describe.skipIf(lackingTable !== undefined)(`lamella disk --gpt ${lackingTable ?? ""}`, () => {
  it.each(["ext4", "erofs"])("%s: sgdisk finds no problem, and the kernel mounts the partition", async (format) => {
    const { partition } = await make("--format", format, "--gpt", "--verity", "--align", "2M");
    const { output: verdict } = await runCommand("sgdisk", ["-v", output], { accept: [0] });
    expect(verdict).toContain("No problems found");
    const options = [`offset=${partition?.offset}`, `sizelimit=${partition?.sizeBytes}`];
    await mountImage({ image: output, format, options }, async (root) => {
      expect(readFileSync(join(root, "etc/motd"), "utf8")).toBe("hello from the host\n");
    });
  });
});

const lackingEmpty = missing(["root", "mount", "e2fsck"]);
describe.skipIf(lackingEmpty !== undefined)(`lamella disk empty ${lackingEmpty ?? ""}`, () => {
  it("is sound, and has nothing but lost+found", async () => {
    const run = await lamella(["disk", "empty", "-o", output, "--size", "64M", "--label", "data"]);
    expect(run.status, run.stderr).toBe(0);
    expect((await e2fsck(output)).clean).toBe(true);
    await mountImage({ image: output, format: "ext4" }, async (root) => {
      expect(readdirSync(root)).toEqual(["lost+found"]);
    });
  });

  it("wants its own options, not those of disk", async () => {
    const run = await lamella(["disk", "empty", "-o", output]);
    expect(run).toMatchObject({ status: 2, stderr: expect.stringContaining("--size") as string });
  });
});
