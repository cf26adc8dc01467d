import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

import type { Entry } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { planCpio } from "../src/cpio/plan.js";
import { fileMode } from "../src/file-mode.js";
import { collect, sha256 } from "./bytes.js";
import { readCpio } from "./cpio-reader.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const EMPTY = sha256(new Uint8Array());

async function makeArchive(spec: MemoryTreeSpec): Promise<Uint8Array> {
  const plan = await planCpio(memoryTree(spec));
  return collect(plan.read(0, plan.sizeBytes));
}

describe("planCpio()", () => {
  it("keeps any tree, less what the format cannot hold", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (spec) => {
        const members = readCpio(await makeArchive(spec));
        const byPath = new Map(members.map((member) => [member.path, member]));
        const tree = memoryTree(spec);
        const listed = await listTree(tree);
        expect(members).toHaveLength(listed.length);
        const contents = new Map<number, string>();
        for (const { inode, size, sha256: sum } of members) if (size > 0) contents.set(inode, sum);
        for (const { path, uid, gid, links, mtimeSeconds, linkTarget, device, content } of listed) {
          const member = byPath.get(path === "" ? "." : path);
          const clamped = Math.min(Math.max(mtimeSeconds, 0), 0xffffffff);
          expect(member).toMatchObject({
            uid,
            gid,
            links,
            mtimeSeconds: clamped,
            linkTarget,
            device: device === "" ? "0:0" : device,
          });
          if (content !== undefined) expect(contents.get(member?.inode ?? 0) ?? EMPTY).toBe(content.sha256);
        }
        for await (const entry of tree.entries())
          expect(byPath.get(entry.path === "" ? "." : entry.path)?.mode).toBe(fileMode(entry));
      }),
      { numRuns: 60 },
    );
  });

  it("puts parents first and numbers inodes from 1, a hard link's names alike", async () => {
    const members = readCpio(
      await makeArchive([{ path: "d/f", content: "x" }, { path: "a", hardlinkTo: "d/f" }, { path: "b" }]),
    );
    const [root, directory] = members;
    expect([root?.path, directory?.path]).toEqual([".", "d"]);
    const inodes = new Map(members.map(({ path, inode }) => [path, inode]));
    expect(inodes.get("a")).toBe(inodes.get("d/f"));
    expect([...new Set(inodes.values())].sort()).toEqual([1, 2, 3, 4]);
  });

  it("leaves a hard-linked file's data to the last of its names", async () => {
    const spec = [{ path: "a", content: "data" }, ...["b", "c"].map((path) => ({ path, hardlinkTo: "a" }))];
    const names = readCpio(await makeArchive(spec)).filter(({ links }) => links === 3);
    expect(names.map(({ size }) => size)).toEqual([0, 0, 4]);
  });

  it("gives every name of a hard-linked symlink its target", async () => {
    const members = readCpio(
      await makeArchive([
        { path: "a", linkTarget: "t" },
        { path: "b", hardlinkTo: "a" },
      ]),
    );
    expect(members.filter(({ linkTarget }) => linkTarget === "t")).toHaveLength(2);
  });

  it("tells what it loses", async () => {
    const plan = await planCpio(
      memoryTree([
        { path: "a", xattrs: { "user.a": "1" }, mtime: { seconds: 1, nanoseconds: 5 } },
        { path: "b", mtime: { seconds: -1, nanoseconds: 5 } },
        { path: "c", mtime: 2 ** 32 },
      ]),
    );
    expect(plan.losses).toEqual([
      { what: "xattrs", count: 1, paths: ["a"] },
      { what: "nanoseconds of mtime", count: 1, paths: ["a"] },
      { what: "mtime outside 1970 to 2106", count: 2, paths: ["b", "c"] },
    ]);
    expect((await planCpio(memoryTree([{ path: "a" }]))).losses).toEqual([]);
  });

  it.each<[string, Partial<Entry>]>([
    ["a file of 4 GiB", { path: "x", size: 2 ** 32 }],
    ["a path of 4096 bytes", { path: "x".repeat(4096) }],
    ["a link target of 4096 bytes", { path: "x", kind: "symlink", linkTarget: "t".repeat(4096) }],
    ["an empty link target", { path: "x", kind: "symlink" }],
    ["a device number over 32 bits", { path: "x", kind: "char", deviceMinor: 2 ** 32 }],
    ["the name that ends an archive", { path: "TRAILER!!!" }],
  ])("refuses %s", async (_what, entry) => {
    await expect(planCpio(handMadeTree([ROOT, entry]))).rejects.toMatchObject({ code: "unsupported" });
  });

  it("takes a file of 4 GiB less one byte", async () => {
    const plan = await planCpio(memoryTree([{ path: "x", content: { size: 2 ** 32 - 1 } }]));
    expect(plan.sizeBytes).toBeGreaterThan(2 ** 32);
  });

  it("gives the same bytes for the same tree", async () => {
    const spec = [
      { path: "b", content: "1" },
      { path: "a/c", content: "2" },
    ];
    expect(Buffer.compare(await makeArchive(spec), await makeArchive(spec))).toBe(0);
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(planCpio(memoryTree([]), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it.skipIf(!hasTool("cpio"))("is extracted by cpio to the same files [skipped without cpio]", async () => {
    const directory = await temporaryDirectory();
    const spec: MemoryTreeSpec = [
      { path: "d", kind: "directory", mode: 0o750 },
      { path: "d/file", content: { size: 100_001, fill: 5 }, mode: 0o640, mtime: 1_000_000_000 },
      { path: "d/same", hardlinkTo: "d/file" },
      { path: "empty" },
      { path: "link", linkTarget: "d/file" },
      { path: "pipe", kind: "fifo" },
    ];
    const { status, output } = runTool("cpio", ["-idm", "--quiet", "--no-preserve-owner"], {
      cwd: directory,
      input: await makeArchive(spec),
    });
    expect({ status, output }).toEqual({ status: 0, output: "" });
    expect((await readdir(directory)).sort()).toEqual(["d", "empty", "link", "pipe"]);
    const file = await lstat(join(directory, "d/file"));
    expect(file).toMatchObject({
      size: 100_001,
      nlink: 2,
      mtimeMs: 1e12,
      mode: 0o100640,
      ino: (await lstat(join(directory, "d/same"))).ino,
    });
    expect(sha256(await readFile(join(directory, "d/same")))).toBe(sha256(new Uint8Array(100_001).fill(5)));
    expect(await readlink(join(directory, "link"))).toBe("d/file");
    expect((await lstat(join(directory, "pipe"))).isFIFO()).toBe(true);
  });
});
