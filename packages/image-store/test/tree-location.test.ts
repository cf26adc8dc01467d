import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { planDisk, writeDisk } from "@lamella/disk-export";
import type { FileTree } from "@lamella/layer-format";
import { createLayerFile, packLayer } from "@lamella/layer-format/node";
import { memoryTree } from "@lamella/layer-format/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openNamedTree } from "../src/tree-location.js";

describe("openNamedTree()", () => {
  let work = "";
  let outerTmp: string | undefined;
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "tree-location-"));
    outerTmp = process.env["TMPDIR"];
    mkdirSync(join(work, "tmp"));
    process.env["TMPDIR"] = join(work, "tmp");
  });
  afterEach(() => {
    if (outerTmp === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = outerTmp;
    rmSync(work, { recursive: true, force: true });
  });

  async function described(tree: FileTree | undefined): Promise<string[]> {
    if (tree === undefined) throw new Error("no tree");
    const lines: string[] = [];
    for await (const entry of tree.entries()) {
      let text = entry.linkTarget;
      if (entry.kind === "file") for await (const chunk of tree.read(entry)) text += Buffer.from(chunk).toString();
      lines.push(`${entry.kind} ${entry.path} ${text}`);
    }
    return lines;
  }

  async function putLayer(compression: "none" | "gzip"): Promise<string> {
    const path = join(work, `layer-${compression}`);
    await using file = await createLayerFile(path);
    const tree = memoryTree([
      { path: "etc/motd", content: "hello" },
      { path: "link", linkTarget: "etc" },
    ]);
    await packLayer(tree, file, { compression });
    await file.commit();
    return path;
  }

  const SAMPLE = ["directory  ", "directory etc ", "file etc/motd hello", "symlink link etc"];

  it("opens a directory", async () => {
    mkdirSync(join(work, "root/etc"), { recursive: true });
    writeFileSync(join(work, "root/etc/motd"), "hello");
    symlinkSync("etc", join(work, "root/link"));
    await using tree = await openNamedTree(`dir:${join(work, "root")}`);
    expect(await described(tree)).toEqual(SAMPLE);
  });

  it.each(["none", "gzip"] as const)(
    "opens a layer of compression %s and leaves nothing behind",
    async (compression) => {
      await using tree = await openNamedTree(`layer:${await putLayer(compression)}`);
      expect(readdirSync(join(work, "tmp"))).toEqual([]);
      expect(await described(tree)).toEqual(SAMPLE);
    },
  );

  it.each(["ext4", "erofs"] as const)("opens a disk of %s", async (format) => {
    const path = join(work, "disk");
    const source = memoryTree([
      { path: "etc/motd", content: "hello" },
      { path: "link", linkTarget: "etc" },
    ]);
    await writeDisk(await planDisk(source, { format }), path);
    await using tree = await openNamedTree(`disk:${path}`);
    expect(await described(tree)).toEqual(SAMPLE);
  });

  it("leaves nothing behind of what is no layer", async () => {
    writeFileSync(join(work, "bad"), Buffer.alloc(512, 1));
    await expect(openNamedTree(`layer:${join(work, "bad")}`)).rejects.toMatchObject({ code: "tar_invalid" });
    expect(readdirSync(join(work, "tmp"))).toEqual([]);
  });

  it.each(["alpine", "oci:dir", "registry.example/dir:x"])("leaves %s to others", async (text) => {
    expect(await openNamedTree(text)).toBeUndefined();
  });

  it("says what is missing or wrong", async () => {
    for (const scheme of ["dir", "layer", "disk"]) {
      await expect(openNamedTree(`${scheme}:`)).rejects.toMatchObject({ code: "source_invalid" });
      await expect(openNamedTree(`${scheme}:${work}/none`)).rejects.toMatchObject({ code: "not_found" });
    }
    await expect(openNamedTree(`dir:${await putLayer("none")}`)).rejects.toMatchObject({ code: "source_invalid" });
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(openNamedTree(`dir:${work}`, { signal })).rejects.toBe(reason);
    await expect(openNamedTree(`layer:${await putLayer("gzip")}`, { signal })).rejects.toBe(reason);
  });
});
