import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Entry, FileTree } from "../src/file-tree.js";
import { openDirectoryTree } from "../src/node/directory/directory-tree.js";
import { bytesOf, entriesOf, listing, paths, textOf } from "./tree-listing.js";

describe("openDirectoryTree()", () => {
  let root = "";

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "directory-tree-"));
    chmodSync(root, 0o755);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function put(path: string, content: string | Uint8Array = "", mode = 0o644): string {
    const full = join(root, path);
    mkdirSync(join(full, ".."), { recursive: true, mode: 0o755 });
    writeFileSync(full, content);
    chmodSync(full, mode);
    return full;
  }

  async function entryAt(tree: FileTree, path: string): Promise<Entry> {
    const entry = await tree.lookup(path);
    if (entry === undefined) throw new Error(`no ${path}`);
    return entry;
  }

  it("gives small files without waiting while storage is quick, and none that changed", async () => {
    put("small", "some bytes");
    put("large", Buffer.alloc(100_000));
    const replaced = put("replaced", "old");
    await using tree = await openDirectoryTree(root);
    const [small, large, changed] = [
      await entryAt(tree, "small"),
      await entryAt(tree, "large"),
      await entryAt(tree, "replaced"),
    ];
    await textOf(tree, small);
    expect(Buffer.from((await soon(() => tree.readNow?.(small, 5, 5))) ?? []).toString()).toBe("bytes");
    expect(tree.readNow?.(large, 0, 100_000)).toBeUndefined();
    expect(tree.readNow?.(small, 5, 6)).toBeUndefined();
    rmSync(replaced);
    await expect(soon(() => tree.readNow?.(changed, 0, 3))).rejects.toMatchObject({ code: "tree_changed" });
    mkdirSync(replaced);
    await expect(soon(() => tree.readNow?.(changed, 0, 3))).rejects.toMatchObject({ code: "tree_changed" });

    /** A turn may be due, or the machine may have been slow: then reading goes the other way for a while. */
    async function soon(read: () => Uint8Array | undefined): Promise<Uint8Array | undefined> {
      for (let tries = 0; tries < 100; tries++) {
        const bytes = read();
        if (bytes !== undefined) return bytes;
        await textOf(tree, small);
      }
      return undefined;
    }
  });

  it("lists kinds, modes and contents, parents first and siblings in byte order", async () => {
    put("b/file", "two\n", 0o4755);
    put("b.txt", "one\n", 0o600);
    put("a", "");
    symlinkSync("b/file", join(root, "link"));
    await using tree = await openDirectoryTree(root);
    expect(await listing(tree)).toEqual([
      "/ directory 755",
      'a file 644 ""',
      "b directory 755",
      'b/file file 4755 "two\n"',
      'b.txt file 600 "one\n"',
      "link symlink 777 -> b/file",
    ]);
    expect(tree.entryCount).toBe(6);
    expect(tree.inodeCount).toBe(6);
  });

  it("keeps names and link targets that are no text byte by byte", async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe, 0x0a])]), "odd");
    symlinkSync(Buffer.from([0xe4, 0x80]), join(root, "ü"));
    await using tree = await openDirectoryTree(root);
    expect(await paths(tree)).toEqual(["Ã¼", "ÿþ\n"]);
    expect((await entryAt(tree, "Ã¼")).linkTarget).toBe("ä\x80");
    expect(await textOf(tree, await entryAt(tree, "ÿþ\n"))).toBe("odd");
  });

  it("finds every entry by its path, and nothing else", async () => {
    for (const path of ["a/b/c", "a-b", "a.b/c", "ab"]) put(path);
    await using tree = await openDirectoryTree(root);
    for (const entry of await entriesOf(tree)) expect(await tree.lookup(entry.path)).toEqual(entry);
    for (const path of ["b", "a/", "/a", "a/b/c/d", "a/c", "zz", "\0"]) expect(await tree.lookup(path)).toBeUndefined();
  });

  it("knows hard links by device and inode, and counts only those of the tree", async () => {
    const first = put("one/file", "shared");
    linkSync(first, join(root, "two"));
    linkSync(first, `${root}-outside`);
    try {
      await using tree = await openDirectoryTree(root);
      const [one, two] = [await entryAt(tree, "one/file"), await entryAt(tree, "two")];
      expect(two).toEqual({ ...one, path: "two" });
      expect(one.links).toBe(2);
      expect([tree.entryCount, tree.inodeCount]).toEqual([4, 3]);
      expect(await textOf(tree, two)).toBe("shared");
    } finally {
      rmSync(`${root}-outside`);
    }
  });

  it("has times to the nanosecond, before 1970 too", async () => {
    for (const [name, time] of [
      ["old", "1969-12-31T23:59:58.250000001Z"],
      ["new", "2025-01-02T03:04:05.123456789Z"],
    ] as const)
      execFileSync("touch", ["-d", time, put(name)]);
    await using tree = await openDirectoryTree(root);
    expect(await entryAt(tree, "old")).toMatchObject({ mtimeSeconds: -2, mtimeNanoseconds: 250_000_001 });
    expect(await entryAt(tree, "new")).toMatchObject({ mtimeSeconds: 1_735_787_045, mtimeNanoseconds: 123_456_789 });
  });

  it("lists pipes and sockets without opening them", async () => {
    execFileSync("mkfifo", [join(root, "pipe")]);
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(join(root, "socket"), resolve);
    });
    try {
      await using tree = await openDirectoryTree(root);
      expect((await entriesOf(tree)).map(({ kind }) => kind)).toEqual(["directory", "fifo", "socket"]);
      expect(() => tree.read({ ...fakeFile, inode: 1 })).toThrow("not a file of this tree");
    } finally {
      server.close();
    }
  });

  it.runIf(process.getuid?.() === 0)("has the numbers of devices, large ones too", async () => {
    execFileSync("mknod", [join(root, "large"), "c", "4095", "1048575"]);
    execFileSync("mknod", [join(root, "small"), "b", "8", "1"]);
    await using tree = await openDirectoryTree(root);
    expect(await entryAt(tree, "large")).toMatchObject({ kind: "char", deviceMajor: 4095, deviceMinor: 1_048_575 });
    expect(await entryAt(tree, "small")).toMatchObject({ kind: "block", deviceMajor: 8, deviceMinor: 1, size: 0 });
  });

  it("follows the symlink that it is given, and no other", async () => {
    put("real/inside", "x");
    symlinkSync("real", join(root, "named"));
    await using tree = await openDirectoryTree(join(root, "named"));
    expect(await paths(tree)).toEqual(["inside"]);
    await using outer = await openDirectoryTree(root);
    expect(await paths(outer)).toEqual(["named", "real", "real/inside"]);
  });

  it("passes the file system's errors", async () => {
    await expect(openDirectoryTree(join(root, "none"))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(openDirectoryTree(put("file"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  it("reads any range of a file", async () => {
    const bytes = Buffer.from(Array.from({ length: 1_400_000 }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24));
    put("file", bytes);
    await using tree = await openDirectoryTree(root);
    const entry = await entryAt(tree, "file");
    const range = fc
      .tuple(fc.nat(bytes.length), fc.nat(bytes.length))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    await fc.assert(
      fc.asyncProperty(range, async ([start = 0, end = 0]) => {
        const read = await bytesOf(tree.read(entry, { offset: start, length: end - start }));
        expect(read.equals(bytes.subarray(start, end))).toBe(true);
      }),
      { numRuns: 20 },
    );
    expect(() => tree.read(entry, { offset: 1, length: bytes.length })).toThrow(RangeError);
    expect(() => tree.read(entry, { offset: -1, length: 1 })).toThrow(RangeError);
  });

  describe("of a tree that changes", () => {
    const SAME_TIME = new Date(1e12);

    // What is small is read on this thread, the rest by the thread pool.
    describe.each([
      ["small", "content"],
      ["large", "content".repeat(20_000)],
    ])("refuses a %s file that was", (_size, content) => {
      it.each<[string, (file: string) => void]>([
        ["grown", (file) => appendFileSync(file, "more")],
        ["cut", (file) => writeFileSync(file, "c")],
        ["written anew", (file) => writeFileSync(file, content.toUpperCase())],
        ["removed", (file) => rmSync(file)],
        ["replaced by its twin", (file) => replace(file, (next) => writeFileSync(next, content))],
        ["replaced by a symlink to its twin", (file) => replace(file, (next) => symlinkSync("twin", next))],
        ["replaced by a pipe", (file) => replace(file, (next) => execFileSync("mkfifo", [next]))],
        ["replaced by a directory", (file) => replace(file, (next) => mkdirSync(next))],
      ])("%s", async (_change, change) => {
        const file = put("dir/file", content);
        put("dir/twin", content);
        for (const name of ["file", "twin"]) utimesSync(join(root, "dir", name), SAME_TIME, SAME_TIME);
        await using tree = await openDirectoryTree(root);
        const entry = await entryAt(tree, "dir/file");
        expect(await textOf(tree, entry)).toBe(content);
        change(file);
        await expect(textOf(tree, entry)).rejects.toMatchObject({
          code: "tree_changed",
          message: expect.stringMatching(/^cannot read "dir\/file": /),
        });
        expect(openBelow(root)).toBe(0);
      });
    });

    function replace(file: string, make: (next: string) => void): void {
      make(`${file}.next`);
      rmSync(file);
      renameSync(`${file}.next`, file);
      if (!readlinkOf(file)) utimesSync(file, SAME_TIME, SAME_TIME);
    }

    function readlinkOf(file: string): string {
      try {
        return readlinkSync(file);
      } catch {
        return "";
      }
    }

    it("does not follow a symlink that has come in a directory's place", async () => {
      for (const name of ["dir/file", "other/file"]) utimesSync(put(name, "content"), SAME_TIME, SAME_TIME);
      await using tree = await openDirectoryTree(root);
      const entry = await entryAt(tree, "dir/file");
      rmSync(join(root, "dir"), { recursive: true });
      symlinkSync("other", join(root, "dir"));
      await expect(textOf(tree, entry)).rejects.toMatchObject({ code: "tree_changed" });
    });

    it("notices a change between two chunks before it gives the second", async () => {
      const file = put("file", Buffer.alloc(3 << 20));
      await using tree = await openDirectoryTree(root);
      const chunks = tree.read(await entryAt(tree, "file"))[Symbol.asyncIterator]();
      expect((await chunks.next()).value).toHaveLength(1 << 20);
      utimesSync(file, SAME_TIME, SAME_TIME);
      await expect(chunks.next()).rejects.toMatchObject({ code: "tree_changed" });
    });

    it("notices names that come while they are listed", async () => {
      for (let count = 0; count < 2000; count++) writeFileSync(join(root, `${count}`), "");
      const settled = new AbortController();
      const opening = openDirectoryTree(root).finally(() => settled.abort());
      opening.catch(() => undefined);
      for (let count = 0; !settled.signal.aborted; count++) {
        writeFileSync(join(root, `new-${count}`), "");
        await turn();
      }
      await expect(opening).rejects.toMatchObject({ code: "tree_changed" });
    });
  });

  it("reads many files at once with few of them open, and none between two chunks", async () => {
    for (let count = 0; count < 100; count++) put(`${count}`, Buffer.alloc((1 << 20) + 1, count));
    await using tree = await openDirectoryTree(root);
    const files = (await entriesOf(tree)).slice(1);
    let most = 0;
    const done = new AbortController();
    const watch = (async () => {
      for (; !done.signal.aborted; await turn()) most = Math.max(most, openBelow(root));
    })();
    const readers = files.map((entry) => tree.read(entry)[Symbol.asyncIterator]());
    await Promise.all(readers.map((reader) => reader.next()));
    expect(openBelow(root)).toBe(0);
    await Promise.all(readers.map((reader) => reader.next()));
    done.abort();
    await watch;
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(16);
  });

  it("rejects with the signal's reason", async () => {
    put("file", Buffer.alloc(2 << 20));
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(openDirectoryTree(root, { signal })).rejects.toBe(reason);
    await using tree = await openDirectoryTree(root);
    const entry = await entryAt(tree, "file");
    await expect(tree.lookup("file", { signal })).rejects.toBe(reason);
    await expect(bytesOf(tree.read(entry, { signal }))).rejects.toBe(reason);
    await expect(tree.entries({ signal })[Symbol.asyncIterator]().next()).rejects.toBe(reason);
    const abort = new AbortController();
    const chunks = tree.read(entry, { signal: abort.signal })[Symbol.asyncIterator]();
    await chunks.next();
    abort.abort(reason);
    await expect(chunks.next()).rejects.toBe(reason);
  });

  it("is stopped while it lists", async () => {
    for (let count = 0; count < 500; count++) writeFileSync(join(root, `${count}`), "");
    const abort = new AbortController();
    const reason = new Error("enough");
    const opening = openDirectoryTree(root, { signal: abort.signal });
    abort.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });

  it("lets a timer stop it while it reads small files without end", async () => {
    for (let count = 0; count < 50; count++) put(`${count}`, Buffer.alloc(1000, count));
    await using tree = await openDirectoryTree(root);
    const files = (await entriesOf(tree)).slice(1);
    const abort = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => abort.abort(reason), 20);
    const readOn = async (): Promise<void> => {
      for (let round = 0; round < 2000; round++)
        for (const entry of files) await bytesOf(tree.read(entry, { signal: abort.signal }));
    };
    await expect(readOn()).rejects.toBe(reason);
  });

  it("throws from every call once it is closed", async () => {
    put("file", Buffer.alloc(2 << 20));
    const tree = await openDirectoryTree(root);
    const entry = await entryAt(tree, "file");
    const chunks = tree.read(entry)[Symbol.asyncIterator]();
    await chunks.next();
    await tree[Symbol.asyncDispose]();
    await expect(chunks.next()).rejects.toThrow("it is closed");
    await expect(tree.lookup("file")).rejects.toThrow("it is closed");
    await expect(entriesOf(tree)).rejects.toThrow("it is closed");
    expect(() => tree.read(entry)).toThrow("it is closed");
  });
});

const fakeFile: Entry = {
  path: "pipe",
  kind: "file",
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
  inode: 0,
  links: 1,
  locality: 0,
};

/** How many of this process' files are below a directory. */
function openBelow(directory: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${directory}/`);
    } catch {
      return false;
    }
  }).length;
}
