import { link, mkdir, open, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { openDirectoryTree } from "@lamella/layer-format/node";
import { describe, expect, it } from "vitest";

import { openDisk } from "../src/reading/open-disk.js";
import { collect } from "./bytes.js";
import { listTree } from "./listing.js";
import type { Listed } from "./listing.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const SECONDS = 1_700_000_000;
const MIB = 2 ** 20;

/** Files around the borders of blocks, text and noise, holes near and far, links short and long, a large directory. */
async function makeDirectory(farthest: number): Promise<string> {
  const root = join(await temporaryDirectory(), "root");
  await mkdir(join(root, "many"), { recursive: true });
  const line = "what a file of text may say, again and again; ";
  const sizes = [0, 1, 59, 60, 61, 100, 160, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 70_000, 300_001, MIB + 5000];
  const bytes = (size: number): Buffer =>
    Buffer.from(
      Uint8Array.from({ length: size }, (_, at) =>
        at % 90_000 < size % 40_000 ? (Math.imul(at + size, 0x9e3779b1) >>> 11) & 0xff : line.charCodeAt(at % 46),
      ),
    );
  for (const size of sizes) await writeFile(join(root, `f${size}`), bytes(size));
  await writeFile(join(root, "text"), line.repeat(50_000));
  await writeFile(join(root, "again"), line.repeat(50_000));
  await writeFile(join(root, "zeros"), new Uint8Array(3 * MIB));
  for (let index = 0; index < 700; index++)
    await writeFile(join(root, "many", `${"n".repeat(index % 180)}${index}`), `small file ${index}`);
  for (const length of [1, 59, 60, 61, 500, 1000]) await symlink("t".repeat(length), join(root, `link${length}`));
  await link(join(root, "f300001"), join(root, "many", "other name"));
  runTool("mkfifo", [join(root, "fifo")]);
  const sparse = await open(join(root, "sparse"), "w");
  // For maps of pointers these are behind the first, the second and the third border of blocks of 1 KiB.
  // It ends with data: mke2fs 1.47 forgets a hole at the end where it has inline data.
  for (const at of [0, 9000, 100_000, 400_000, farthest]) await sparse.write(bytes(4096), 0, 4096, at);
  await sparse.close();
  await setTimes(root);
  return root;
}

async function setTimes(root: string): Promise<void> {
  await using tree = await openDirectoryTree(root);
  for await (const { path, kind } of tree.entries()) {
    if (kind === "symlink") continue;
    await utimes(join(root, path), SECONDS, SECONDS);
  }
}

/** Without what Node cannot set of a link. */
function comparable(listed: readonly Listed[]): unknown[] {
  return listed
    .filter(({ path }) => path !== "")
    .map((entry) => ({
      ...entry,
      mtimeSeconds: 0,
      mtimeNanoseconds: 0,
      ...(entry.kind === "symlink" ? { mode: 0o777 } : {}),
    }));
}

async function listDirectory(root: string): Promise<Listed[]> {
  await using tree = await openDirectoryTree(root);
  return await listTree(tree);
}

async function listDisk(path: string): Promise<Listed[]> {
  await using tree = await openDisk(path);
  return await listTree(tree);
}

describe.skipIf(!hasTool("mke2fs"))("a disk by mke2fs [skipped without e2fsprogs]", () => {
  it("is read as the directory that it was made of, whatever its features", async () => {
    const root = await makeDirectory(80 * MIB);
    const expected = comparable(await listDirectory(root));
    const disk = join(await temporaryDirectory(), "disk");
    const variants: string[][] = [
      ["-t", "ext4"],
      ["-t", "ext4", "-b", "4096"],
      ["-t", "ext4", "-b", "1024"],
      ["-t", "ext4", "-b", "2048", "-O", "inline_data"],
      ["-t", "ext4", "-O", "inline_data", "-I", "512"],
      ["-t", "ext4", "-O", "^extent,^64bit", "-b", "1024"],
      ["-t", "ext4", "-O", "^metadata_csum,^64bit", "-I", "128"],
      ["-t", "ext4", "-O", "metadata_csum_seed,^flex_bg,orphan_file,ea_inode,large_dir"],
      ["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"],
      ["-t", "ext4", "-O", "bigalloc"],
      ["-t", "ext4", "-O", "sparse_super2,casefold,encrypt,verity,mmp"],
      ["-t", "ext3"],
      ["-t", "ext2", "-b", "1024"],
      ["-t", "ext2", "-O", "^filetype,^sparse_super,^dir_index,^resize_inode", "-I", "128", "-b", "1024"],
    ];
    for (const variant of variants) {
      await writeFile(disk, "");
      const made = runTool("mke2fs", ["-q", "-F", "-d", root, ...variant, disk, "200M"]);
      expect({ variant, ...made }).toMatchObject({ status: 0 });
      const listed = await listDisk(disk);
      expect({ variant, listed: comparable(listed) }).toEqual({ variant, listed: expected });
      const file = listed.find(({ path }) => path === "f4096");
      expect(file?.mtimeSeconds).toBe(SECONDS);
    }
  }, 180_000);

  it("is refused with a journal that was not replayed, and after an unclean end", async () => {
    const disk = join(await temporaryDirectory(), "disk");
    for (const command of ["feature needs_recovery", "set_super_value state 0", "set_super_value state 3"]) {
      await writeFile(disk, "");
      expect(runTool("mke2fs", ["-q", "-F", "-t", "ext4", disk, "8M"]).status).toBe(0);
      expect(runTool("debugfs", ["-w", "-R", command, disk]).status).toBe(0);
      await expect(openDisk(disk)).rejects.toMatchObject({ code: "unsupported" });
    }
  });

  it("gives xattrs in inodes, in blocks and in inodes of their own", async () => {
    const directory = await temporaryDirectory();
    const disk = join(directory, "disk");
    await writeFile(disk, "");
    await writeFile(join(directory, "f"), "x");
    expect(runTool("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "ea_inode", disk, "8M"]).status).toBe(0);
    const values = { "user.short": "s", "user.medium": "m".repeat(1000), "user.long": "l".repeat(4096) };
    const commands = [`write ${join(directory, "f")} f`];
    for (const [name, value] of Object.entries(values)) {
      await writeFile(join(directory, name), value);
      commands.push(`ea_set -f ${join(directory, name)} f ${name}`);
    }
    await writeFile(join(directory, "commands"), commands.join("\n"));
    expect(runTool("debugfs", ["-w", "-f", join(directory, "commands"), disk]).status).toBe(0);
    await using tree = await openDisk(disk);
    const entry = await tree.lookup("f");
    const found = [...(entry?.xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString()]);
    expect(Object.fromEntries(found)).toEqual(values);
  });
});

describe.skipIf(!hasTool("mkfs.erofs"))("a disk by mkfs.erofs [skipped without erofs-utils]", () => {
  it("is read as the directory that it was made of, whatever its features", async () => {
    const root = await makeDirectory(5 * MIB);
    const expected = comparable(await listDirectory(root));
    const disk = join(await temporaryDirectory(), "disk");
    const variants: string[][] = [
      [],
      ["-Eforce-inode-extended"],
      ["-Eforce-inode-compact", "-T0"],
      ["-Enoinline_data"],
      ["-zlz4"],
      ["-zlz4hc,9"],
      ["-zlz4", "-C65536"],
      ["-zlz4hc", "-C1048576"],
      ["-zlz4", "-Elegacy-compress"],
      ["-zlz4", "-Elegacy-compress", "-C16384"],
      ["-zlz4", "-Eztailpacking"],
      ["-zlz4", "-Eztailpacking", "-C32768"],
      ["-zlz4", "-Efragments", "-C32768"],
      ["-zlz4hc", "-Eall-fragments", "-C65536"],
      ["-zlz4", "-Ededupe"],
      ["-zlz4", "-Ededupe,fragments", "-C16384"],
      ["--chunksize=4096"],
      ["--chunksize=65536", "-Eforce-chunk-indexes"],
    ];
    for (const variant of variants) {
      const made = runTool("mkfs.erofs", ["--quiet", "-x-1", ...variant, disk, root]);
      expect({ variant, ...made }).toMatchObject({ status: 0 });
      expect({ variant, listed: comparable(await listDisk(disk)) }).toEqual({ variant, listed: expected });
    }
  }, 180_000);

  it("keeps the holes of a file in chunks, and gives parts of compressed files", async () => {
    const root = await makeDirectory(5 * MIB);
    const directory = await temporaryDirectory();
    const chunks = join(directory, "chunks");
    expect(runTool("mkfs.erofs", ["--quiet", "--chunksize=4096", chunks, root]).status).toBe(0);
    await using tree = await openDisk(chunks);
    const { size = 0, extents = [] } = (await tree.lookup("zeros")) ?? {};
    expect({ size, isSparse: extents.reduce((sum, { length }) => sum + length, 0) < size }).toEqual({
      size: 3 * MIB,
      isSparse: true,
    });

    const packed = join(directory, "packed");
    expect(runTool("mkfs.erofs", ["--quiet", "-zlz4", "-Efragments", "-C65536", packed, root]).status).toBe(0);
    await using compressed = await openDisk(packed);
    const entry = (await compressed.lookup(`f${MIB + 5000}`))!;
    const whole = await readFile(join(root, entry.path));
    for (let offset = 0; offset < whole.length; offset += 77_777) {
      const length = Math.min(100_000, whole.length - offset);
      const part = await collect(compressed.read(entry, { offset, length }));
      expect(Buffer.compare(part, whole.subarray(offset, offset + length))).toBe(0);
    }
  }, 60_000);

  it("is refused where its data is on another device", async () => {
    const root = await makeDirectory(5 * MIB);
    const directory = await temporaryDirectory();
    const disk = join(directory, "disk");
    const blobs = `--blobdev=${join(directory, "blobs")}`;
    await writeFile(join(directory, "blobs"), "");
    const made = runTool("mkfs.erofs", ["--quiet", "--chunksize=4096", blobs, disk, root]);
    expect(made).toMatchObject({ status: 0 });
    await expect(openDisk(disk)).rejects.toMatchObject({ code: "unsupported" });
  });
});

it("a file that is no disk is refused", async () => {
  const directory = await temporaryDirectory();
  for (const size of [0, 100, 5000]) {
    await writeFile(join(directory, "none"), new Uint8Array(size));
    await expect(openDisk(join(directory, "none"))).rejects.toMatchObject({ code: "unsupported" });
  }
  await expect(openDisk(directory)).rejects.toMatchObject({ code: "option_invalid" });
  await expect(openDisk(join(directory, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
});
