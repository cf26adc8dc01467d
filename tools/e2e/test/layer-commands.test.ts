import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";

import { e2fsck, runCommand } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const HAS_ZSTD = "createZstdCompress" in zlib;
const TEXT = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join("");

/** `lamella layer` and what is read from a layer or a directory, against GNU tar, gzip and e2fsprogs. Needs no root. */
describe("lamella layer", () => {
  let work = "";
  let directory = "";
  let layer = "";

  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), "lamella-layers-"));
    directory = join(work, "tree");
    mkdirSync(join(directory, "etc"), { recursive: true });
    writeFileSync(join(directory, "etc/text"), TEXT);
    writeFileSync(join(directory, "etc/tool"), "#!/bin/sh\n");
    chmodSync(join(directory, "etc/tool"), 0o755);
    linkSync(join(directory, "etc/tool"), join(directory, "tool"));
    symlinkSync("etc/text", join(directory, "link"));
    mkdirSync(join(work, "whiteouts"));
    writeFileSync(join(work, "whiteouts/.wh.gone"), "");
    layer = join(work, "layer.tar.gz");
    const common = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=pax"];
    execFileSync("tar", [
      ...common,
      "-czf",
      layer,
      "-C",
      directory,
      "etc",
      "link",
      "tool",
      "-C",
      join(work, "whiteouts"),
      ".wh.gone",
    ]);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const at = (name: string): string => join(work, name);

  async function stdout(...args: string[]): Promise<string> {
    const run = await lamella([...args, "--root", at("root")]);
    expect(run.status, run.stderr).toBe(0);
    return run.stdout;
  }

  async function json(...args: string[]): Promise<Record<string, unknown>> {
    return JSON.parse(await stdout(...args, "--json")) as Record<string, unknown>;
  }

  it("index lists what a layer holds, whiteouts too, and its digests", async () => {
    const text = await stdout("layer", "index", layer);
    expect(text).toMatch(/^-rwxr-xr-x {3}- 0:0 .* etc\/tool$/m);
    expect(text).toMatch(/^h.* tool link to etc\/tool$/m);
    expect(text).toMatch(/^w.* gone$/m);
    expect(text).toContain(`\ndiffID       ${sha256(zlib.gunzipSync(readFileSync(layer)))}\n`);
  });

  it("index gives a JSON object a line, the last one for the layer", async () => {
    const lines = (await stdout("layer", "index", layer, "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.slice(0, -1).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      "directory etc",
      "file etc/text",
      "file etc/tool",
      "symlink link",
      "hardlink tool",
      "whiteout gone",
    ]);
    const blob = readFileSync(layer);
    expect(lines.at(-1)).toMatchObject({
      kind: "layer",
      compression: "gzip",
      digest: sha256(blob),
      size: blob.length,
      diffID: sha256(zlib.gunzipSync(blob)),
      entryCount: 6,
    });
  });

  it("convert keeps the tar, and so the diffID, from gzip to tar and back", async () => {
    const tar = await json("layer", "convert", layer, "-o", at("as.tar"), "--to", "tar");
    expect(readFileSync(at("as.tar")).equals(zlib.gunzipSync(readFileSync(layer)))).toBe(true);
    const gzip = await json("layer", "convert", at("as.tar"), "-o", at("again.gz"), "--to", "gzip", "--level", "9");
    expect(gzip["diffID"]).toBe(tar["digest"]);
    expect(gzip["digest"]).toBe(sha256(readFileSync(at("again.gz"))));
    expect(execFileSync("gzip", ["-dc", at("again.gz")]).equals(readFileSync(at("as.tar")))).toBe(true);
  });

  it("convert writes zstd, or says that it needs a later Node", async () => {
    const args = ["layer", "convert", layer, "-o", at("as.zst"), "--to", "zstd"];
    if (HAS_ZSTD) {
      const { diffID } = await json(...args);
      expect(sha256(execFileSync("zstd", ["-dc", at("as.zst")]))).toBe(diffID);
      return;
    }
    const run = await lamella(args);
    expect(run).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("Node 22.15") });
    expect(readdirSync(work).filter((name) => name.startsWith("as.zst"))).toEqual([]);
  });

  it("convert writes an eStargz layer that says the same, and verify proves it", async () => {
    const output = at("estargz");
    const args = ["--to", "estargz", "--chunk-size", "16K", "--prioritize", "/etc/tool", "nowhere"];
    const run = await lamella(["layer", "convert", layer, "-o", output, ...args, "--json"]);
    expect(run).toMatchObject({ status: 0, stderr: expect.stringContaining("warning: the layer has no file nowhere") });
    const { tocDigest, digest } = JSON.parse(run.stdout);
    const listed = execFileSync("tar", ["-tzf", output], { encoding: "utf8" }).split("\n");
    expect(listed.indexOf("etc/tool")).toBeLessThan(listed.indexOf(".prefetch.landmark"));
    expect(listed.indexOf(".prefetch.landmark")).toBeLessThan(listed.indexOf("etc/text"));
    const verified = await json("layer", "verify", output, "--toc-digest", tocDigest);
    expect(verified).toMatchObject({ digest, toc: { format: "estargz", digest: tocDigest } });
    expect(await stdout("cat", `layer:${output}`, "/link")).toBe(TEXT);
  });

  it("convert writes a table of contents beside the layer, and verify reads it", async () => {
    const args = ["--to", "estargz", "--external-toc", at("toc")];
    const { tocDigest } = await json("layer", "convert", layer, "-o", at("without"), ...args);
    expect(await json("layer", "verify", at("without"))).not.toHaveProperty("toc");
    const verified = await json("layer", "verify", at("without"), "--external-toc", at("toc"));
    expect(verified["toc"]).toMatchObject({ digest: tocDigest });
  });

  it("verify refuses damage, another table and what is no layer with status 5", async () => {
    const blob = readFileSync(layer);
    const damaged = Buffer.from(blob);
    damaged[blob.length >> 1] = (damaged[blob.length >> 1] ?? 0) ^ 0xff;
    for (const [name, bytes] of [
      ["damaged", damaged],
      ["cut", blob.subarray(0, -1)],
      ["trailing", Buffer.concat([blob, Buffer.from("x")])],
      ["none", Buffer.alloc(1024, 1)],
    ] as const) {
      writeFileSync(at(name), bytes);
      const run = await lamella(["layer", "verify", at(name)]);
      expect(run, name).toMatchObject({
        status: 5,
        stdout: "",
        stderr: expect.stringMatching(/^lamella: cannot .*\n$/),
      });
    }
    const other = sha256(Buffer.from("other"));
    expect(await lamella(["layer", "verify", layer, "--toc-digest", other])).toMatchObject({ status: 5 });
  });

  it("convert leaves the output as it was when the layer is bad", async () => {
    writeFileSync(at("bad"), Buffer.alloc(1024, 1));
    writeFileSync(at("kept"), "as it was");
    for (const form of ["tar", "gzip", "estargz"]) {
      const run = await lamella(["layer", "convert", at("bad"), "-o", at("kept"), "--to", form]);
      expect(run, form).toMatchObject({ status: 5, stdout: "" });
    }
    expect(readFileSync(at("kept"), "utf8")).toBe("as it was");
    expect(readdirSync(work).filter((name) => name.startsWith("kept"))).toEqual(["kept"]);
  });

  it("refuses what it does not know with status 2, and what is not there with 3", async () => {
    const usage = [
      ["layer", "frob"],
      ["layer", "convert", layer, "-o", at("x")],
      ["layer", "convert", layer, "--to", "tar"],
      ["layer", "convert", layer, "-o", at("x"), "--to", "xz"],
      ["layer", "convert", layer, "-o", at("x"), "--to", "gzip", "--level", "10"],
      ["layer", "convert", layer, "-o", at("x"), "--to", "tar", "--prioritize", "a"],
      ["layer", "convert", layer, "-o", at("x"), "--to", "estargz", "--chunk-size", "65M"],
      ["layer", "verify", layer, "--toc-digest", "sha256:short"],
    ];
    for (const args of usage) expect((await lamella(args)).status, args.join(" ")).toBe(2);
    for (const command of ["index", "verify"])
      expect(await lamella(["layer", command, at("nowhere")])).toMatchObject({ status: 3, stdout: "" });
    expect((await lamella(["ls", `layer:${at("nowhere")}`])).status).toBe(3);
    expect((await lamella(["ls", `dir:${at("nowhere")}`])).status).toBe(3);
  });

  it("ls, cat and disk read a directory and a layer as they read an image", async () => {
    for (const source of [`dir:${directory}`, `layer:${layer}`]) {
      expect(await stdout("ls", source, "/"), source).toMatch(/^-rwxr-xr-x {3}2 .* tool$/m);
      expect(await stdout("cat", source, "/link"), source).toBe(TEXT);
      const disk = at("disk.ext4");
      expect(await json("disk", source, "-o", disk)).toMatchObject({ format: "ext4" });
      expect(await e2fsck(disk), source).toMatchObject({ clean: true });
      await runCommand("debugfs", ["-R", `dump /etc/text ${at("dumped")}`, disk]);
      expect(readFileSync(at("dumped"), "utf8"), source).toBe(TEXT);
    }
  });

  it("copies no directory: that is no image", async () => {
    const run = await lamella(["copy", `dir:${directory}`, `oci:${at("layout")}`]);
    expect(run).toMatchObject({ status: 2, stderr: expect.stringContaining("cannot open dir:") });
  });
});
