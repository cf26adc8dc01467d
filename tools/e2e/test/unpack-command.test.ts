import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fixtures, missingForFixtures } from "@lamella/fixtures";
import { createLayerFile, packLayer } from "@lamella/layer-format/node";
import { memoryTree } from "@lamella/layer-format/testing";
import {
  compareTrees,
  containerdDifferences,
  describeDifferences,
  missing,
  OPEN_CHECKOUT,
  umociDifferences,
  withMount,
  withUnpackedTree,
} from "@lamella/oracles";
import type { IgnoreRule, Unpacker } from "@lamella/oracles";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;

let work = "";
let target = "";

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "lamella-unpack-"));
  target = join(work, "out");
  // An ordinary user's test is in it.
  if (isRoot) chownSync(work, NOBODY, NOBODY);
});
afterEach(() => void execFileSync("rm", ["-rf", work]));

/** A layer of an image, as any user can read it. */
async function sampleLayer(): Promise<string> {
  const tree = memoryTree([
    { path: "bin/su", content: "#!", mode: 0o4755, mtime: 5 },
    { path: "dev/null", kind: "char", device: { major: 1, minor: 3 } },
    { path: "etc/motd", content: "hello\n", xattrs: { "user.note": "1", "trusted.t": "2" } },
    { path: "etc/closed", kind: "directory", mode: 0o500 },
    { path: "etc/closed/file", content: "inside" },
    { path: "link", hardlinkTo: "etc/motd" },
  ]);
  const path = join(work, "layer.tar");
  await using file = await createLayerFile(path);
  await packLayer(tree, file, { compression: "none" });
  await file.commit();
  // Whoever made it: another user reads it, too.
  chmodSync(path, 0o644);
  return path;
}

describe("lamella unpack", () => {
  const uid = isRoot ? NOBODY : undefined;
  const closed = missing(isRoot ? [OPEN_CHECKOUT] : []);
  const why = closed === undefined ? "" : ` (${closed})`;

  it.skipIf(why !== "")(`works for an ordinary user, and tells what only root can do${why}`, async () => {
    const layer = await sampleLayer();
    const args = ["unpack", `layer:${layer}`, target, "--no-progress", "--root", join(work, "root")];
    const run = await lamella([...args, "--json"], { env: { HOME: work }, ...(uid === undefined ? {} : { uid }) });
    expect(run.status, run.stderr).toBe(0);
    const summary = JSON.parse(run.stdout);
    expect(summary).toMatchObject({ directory: target, entries: 9, bytes: 14 });
    const lost = summary.losses.map(({ what, count }: { what: string; count: number }) => [what, count]);
    expect(lost).toEqual([
      ["owners, which only root can set", 8],
      ["devices, which only root can make", 1],
      ["extended attributes, which only root can set", 1],
    ]);
    expect(run.stderr).toContain("warning: left out devices, which only root can make: lost of /dev/null\n");
    expect(readdirSync(join(target, "dev"))).toEqual([]);
    expect(readFileSync(join(target, "link"), "utf8")).toBe("hello\n");
    expect(lstatSync(join(target, "bin/su"))).toMatchObject({
      mode: 0o104755,
      mtimeMs: 5000,
      uid: uid ?? process.getuid?.(),
    });
    expect(lstatSync(join(target, "etc/closed")).mode & 0o7777).toBe(0o500);
    const xattrs = execFileSync("getfattr", ["-d", "etc/motd"], { cwd: target, encoding: "utf8" });
    expect(xattrs).toContain('user.note="1"');
  });

  it("prints what it made", async () => {
    const layer = await sampleLayer();
    const run = await lamella(["unpack", `layer:${layer}`, target, "--quiet", "--root", join(work, "root")]);
    expect(run.stdout).toMatch(/^directory +entries +size +seconds\n\S+\/out +\d+ +14 B +\d+\.\d\d\n$/);
    expect(run).toMatchObject({ status: 0, stderr: "" });
  });

  it("refuses a directory that is not empty, which stays as it is", async () => {
    mkdirSync(target);
    writeFileSync(join(target, "mine"), "");
    const run = await lamella(["unpack", `layer:${await sampleLayer()}`, target, "--no-progress"]);
    expect(run).toMatchObject({
      status: 1,
      stdout: "",
      stderr: `lamella: cannot unpack into ${JSON.stringify(target)}: it is not empty\n`,
    });
    expect(readdirSync(target)).toEqual(["mine"]);
  });

  it("leaves nothing of a source that is damaged", async () => {
    const damaged = join(work, "damaged.tar");
    writeFileSync(damaged, readFileSync(await sampleLayer()).subarray(0, 1000));
    const run = await lamella(["unpack", `layer:${damaged}`, target, "--no-progress"]);
    expect(run).toMatchObject({ status: 5, stdout: "" });
    expect(existsSync(target)).toBe(false);
  });

  it("takes a directory's extended attributes along where --xattrs asks for them", async () => {
    const source = join(work, "source");
    mkdirSync(source);
    writeFileSync(join(source, "a"), "1");
    execFileSync("setfattr", ["-n", "user.x", "-v", "kept", join(source, "a")]);
    const dump = (directory: string): string =>
      execFileSync("getfattr", ["-d", "a"], { cwd: directory, encoding: "utf8" });
    expect((await lamella(["unpack", `dir:${source}`, target, "--xattrs"])).status).toBe(0);
    expect(dump(target)).toBe(dump(source));
    const plain = join(work, "plain");
    expect((await lamella(["unpack", `dir:${source}`, plain])).status).toBe(0);
    expect(dump(plain)).toBe("");
  });

  it("--xattrs without getfattr: status 1, naming its package", async () => {
    const run = await lamella(["ls", `dir:${work}`, "--xattrs"], { env: { PATH: work } });
    expect(run).toMatchObject({
      status: 1,
      stderr: "lamella: cannot run getfattr: it is not installed (package attr)\n",
    });
  });
});

const lackingFull = missing(["root", "mount"]);
describe.skipIf(lackingFull !== undefined)(`lamella unpack where there is no room ${lackingFull ?? ""}`, () => {
  it("status 7, and nothing in the directory", async () => {
    await withMount({ parameters: ["-t", "tmpfs", "-o", "size=64k", "tmpfs"] }, async (full) => {
      const source = join(work, "source");
      mkdirSync(source);
      writeFileSync(join(source, "a"), Buffer.alloc(1 << 20, 1));
      const run = await lamella(["unpack", `dir:${source}`, join(full, "out"), "--no-progress"]);
      expect(run.stderr).toMatch(/^lamella: cannot unpack into .*: tar: a: Wrote only/);
      expect(run).toMatchObject({ status: 7, stdout: "" });
      expect(readdirSync(full)).toEqual([]);
    });
  });
});

const lacking = missing(["root", "umoci", "containerd", "python3"]) ?? missingForFixtures();
describe.skipIf(lacking !== undefined)(`lamella unpack of a real image ${lacking ?? ""}`, () => {
  it("gives what umoci and containerd unpack", { timeout: 300_000 }, async () => {
    const layout = (await fixtures()).layout("node-app");
    const root = join(work, "root");
    const run = await lamella(["unpack", `oci:${layout}:latest`, target, "--json", "--no-progress", "--root", root]);
    expect(run.status, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ losses: [], image: expect.stringMatching(/^sha256:/) });
    const unpackers: [Unpacker, readonly IgnoreRule[]][] = [
      ["umoci", umociDifferences],
      ["containerd", containerdDifferences],
    ];
    for (const [by, ignore] of unpackers) {
      await withUnpackedTree({ layout, tag: "latest", by }, async (expected) => {
        const comparison = await compareTrees(expected, target, { ignore });
        expect(describeDifferences(comparison), `against ${by}`).toBe("");
        expect(comparison.entryCount).toBeGreaterThan(60_000);
      });
    }
    // That the comparison can fail, too.
    writeFileSync(join(target, "etc/passwd"), "x", { flag: "a" });
    await withUnpackedTree({ layout, tag: "latest", by: "umoci" }, async (expected) => {
      const { differences } = await compareTrees(expected, target, { ignore: umociDifferences });
      expect(differences.map(({ path, field }) => `${path} ${field}`)).toContain("etc/passwd size");
    });
  });
});
