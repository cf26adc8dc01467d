import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { compareTrees, type FileTree, mergeLayers, writeTar } from "@lamella/layer-format";
import { memoryLayer, type MemoryLayerSpec } from "@lamella/layer-format/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SnapshotPlace } from "../src/driver.js";
import { createCheckoutMounter } from "../src/node/checkout-mounter.js";
import { createTreeDriver } from "../src/node/tree-driver.js";

const image: MemoryLayerSpec = [
  { path: "", kind: "directory", mode: 0o755, uid: 7, gid: 8, mtime: { seconds: 5, nanoseconds: 1 } },
  { path: "bin", kind: "directory", mode: 0o555, uid: 3, gid: 4, mtime: { seconds: 7, nanoseconds: 123456789 } },
  {
    path: "bin/sh",
    content: "the shell",
    mode: 0o4755,
    uid: 1,
    gid: 2,
    mtime: 8,
    xattrs: { "user.x": "y", "trusted.z": "z" },
  },
  { path: "bin/ash", hardlinkTo: "bin/sh" },
  { path: "dev", kind: "directory", mtime: 9 },
  { path: "dev/null", kind: "char", mode: 0o666, device: { major: 1, minor: 3 }, mtime: 11 },
  { path: "dev/zero", hardlinkTo: "dev/null" },
  { path: "etc", kind: "directory", mtime: 12 },
  { path: "etc/shadow", content: "secret", mode: 0, gid: 42, mtime: 13 },
  { path: "etc/secret", kind: "directory", mode: 0, mtime: 14 },
  { path: "etc/secret/key", content: "key", mode: 0o400, mtime: 15 },
  { path: "etc/link", linkTarget: "shadow", mtime: 16 },
];

describe("createCheckoutMounter()", () => {
  const driver = createTreeDriver();
  const mounter = createCheckoutMounter();
  let root: string;
  let target: string;
  let place: SnapshotPlace;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "lamella-checkout-"));
    target = join(root, "target");
    await mkdir(target, { mode: 0o750 });
    const base = await create("active");
    await driver.apply(base, tarOf(image), {});
    place = await create("active", [base.directory]);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("makes no layer of a checkout in which nothing was changed, whatever the disk could not hold", async () => {
    await mount();
    expect(await readFile(join(target, "bin/sh"), "utf8")).toBe("the shell");
    await unmount();
    expect(await layers()).toEqual([]);
    expect(await differences([])).toEqual([]);
  });

  it("gives the target back empty, with the mode that it had", async () => {
    const { mode, uid, ino } = await lstat(target);
    await mount();
    expect((await lstat(target)).mode & 0o777).toBe(0o755);
    await unmount();
    expect(await readdir(target)).toEqual([]);
    expect(await lstat(target)).toMatchObject({ mode, uid, ino });
  });

  it("keeps what the disk could not hold of files that are changed and renamed", async () => {
    await mount();
    await rename(join(target, "etc/shadow"), join(target, "etc/gshadow"));
    await chmod(join(target, "etc/gshadow"), 0o600);
    await rename(join(target, "dev/zero"), join(target, "dev/nil"));
    await unmount();
    await using tree = await driver.openTree(place, {});
    expect(await tree.lookup("etc/shadow")).toBeUndefined();
    expect(await tree.lookup("etc/gshadow")).toMatchObject({ mode: 0o600, uid: 0, gid: 42, mtimeSeconds: 13, size: 6 });
    expect(await tree.lookup("dev/nil")).toMatchObject({
      kind: "char",
      deviceMajor: 1,
      deviceMinor: 3,
      links: 2,
      mtimeSeconds: 11,
    });
    expect(await tree.lookup("bin/sh")).toMatchObject({ uid: 1, gid: 2, links: 2 });
  });

  it("takes content, modes, times, links, new and removed files from the disk", async () => {
    await mount();
    await chmod(join(target, "bin"), 0o700);
    await writeFile(join(target, "bin/sh"), "another shell");
    await utimes(join(target, "bin/sh"), 100, 100);
    await mkdir(join(target, "new"));
    await writeFile(join(target, "new/file"), "new");
    await link(join(target, "new/file"), join(target, "new/link"));
    await symlink("file", join(target, "new/symlink"));
    await rm(join(target, "etc/link"));
    await unmount();
    expect(await layers()).toEqual(["0001"]);
    await using tree = await driver.openTree(place, {});
    const shell = await tree.lookup("bin/sh");
    expect(shell).toMatchObject({ size: 13, mtimeSeconds: 100, uid: 1, gid: 2, links: 2 });
    expect([...shell!.xattrs.keys()].toSorted()).toEqual(["trusted.z", "user.x"]);
    expect(await text(tree, "bin/ash")).toBe("another shell");
    expect(await tree.lookup("bin")).toMatchObject({ mode: 0o700, uid: 3, gid: 4 });
    expect(await tree.lookup("new/file")).toMatchObject({ size: 3, links: 2, uid: 0, gid: 0 });
    expect(await tree.lookup("new/symlink")).toMatchObject({ linkTarget: "file" });
    expect(await tree.lookup("etc/link")).toBeUndefined();
  });

  it("sees a write that leaves size and time of modification as they were", async () => {
    await mount();
    const { atime, mtime } = await lstat(join(target, "bin/sh"));
    await chmod(join(target, "bin/sh"), 0o755);
    await writeFile(join(target, "bin/sh"), "THE SHELL");
    await utimes(join(target, "bin/sh"), atime, mtime);
    await unmount();
    await using tree = await driver.openTree(place, {});
    expect(await text(tree, "bin/sh")).toBe("THE SHELL");
  });

  it("makes a device a file when something is written into it", async () => {
    await mount();
    await rm(join(target, "dev/null"));
    await writeFile(join(target, "dev/null"), "full");
    await unmount();
    await using tree = await driver.openTree(place, {});
    expect(await tree.lookup("dev/null")).toMatchObject({ kind: "file", size: 4 });
    expect(await tree.lookup("dev/zero")).toMatchObject({ kind: "char", links: 1 });
  });

  it("adds a layer each time something was changed", async () => {
    for (const name of ["one", "two"]) {
      await mount();
      await writeFile(join(target, name), name);
      await unmount();
    }
    expect(await layers()).toEqual(["0001", "0002"]);
    await using tree = await driver.openTree(place, {});
    expect(await text(tree, "one")).toBe("one");
    expect(await text(tree, "two")).toBe("two");
  });

  it("reads nothing back from a view, of which there can be several", async () => {
    const view = await create("view", place.parents);
    const other = join(root, "other");
    await mkdir(other);
    await mounter.mount(await driver.mounts(view), target);
    await mounter.mount(await driver.mounts(view), other);
    await chmod(join(target, "etc"), 0o700);
    await writeFile(join(target, "etc/new"), "");
    await mounter.unmount(await driver.mounts(view), target);
    expect(await readdir(target)).toEqual([]);
    expect(await readdir(join(other, "etc"))).toEqual(["link", "secret", "shadow"]);
    await mounter.unmount(await driver.mounts(view), other);
    await using tree = await driver.openTree(view, {});
    expect(await tree.lookup("etc/new")).toBeUndefined();
  });

  it("succeeds at unmounting what is not mounted, and leaves it alone", async () => {
    await mount();
    await unmount();
    await unmount();
    await writeFile(join(target, "mine"), "");
    await unmount();
    expect(await readdir(target)).toEqual(["mine"]);
    await expect(mount()).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await readdir(target)).toEqual(["mine"]);
  });

  it("refuses a second writable checkout, and to commit or apply to what is checked out", async () => {
    await mount();
    const other = join(root, "other");
    await mkdir(other);
    const refusal = { code: "failed_precondition" };
    await expect(mounter.mount(await driver.mounts(place), other)).rejects.toMatchObject(refusal);
    await expect(driver.commit(place, {})).rejects.toMatchObject(refusal);
    await expect(driver.apply(place, tarOf([]), {})).rejects.toMatchObject(refusal);
    await unmount();
    await driver.commit(place, {});
  });

  it("keeps the checkout as it is when a name cannot be in a layer, until that is renamed", async () => {
    await mount();
    await writeFile(join(target, "etc/.wh.new"), "new");
    await expect(unmount()).rejects.toMatchObject({ code: "unsupported" });
    expect((await lstat(join(target, "etc/shadow"))).mode & 0o777).toBe(0);
    await rename(join(target, "etc/.wh.new"), join(target, "etc/new"));
    await unmount();
    await using tree = await driver.openTree(place, {});
    expect(await text(tree, "etc/new")).toBe("new");
  });

  it("makes way for a new checkout where filling one was broken off, and where the target is gone", async () => {
    await mount();
    await writeFile(join(target, "lost"), "");
    await rm(join(place.directory, "checkouts/rw/record"));
    await mount();
    expect(await readdir(target)).not.toContain("lost");

    await chmodAll(target);
    await rm(target, { recursive: true });
    await mkdir(target);
    await mount();
    await unmount();
    expect(await layers()).toEqual([]);
  });

  it("does not save again, or take what it has emptied for removals, where unmounting was broken off", async () => {
    await mount();
    await writeFile(join(target, "new"), "new");
    const checkout = join(place.directory, "checkouts/rw");
    await writeFile(join(checkout, "settled"), "");
    await rm(join(target, "etc/link"));
    await unmount();
    expect(await layers()).toEqual([]);
    expect(await readdir(target)).toEqual([]);
    expect(await differences([])).toEqual([]);
  });

  it("empties the target when the snapshot goes away", async () => {
    await mount();
    await driver.release!(place);
    expect(await readdir(target)).toEqual([]);
  });

  it("takes over what a dead process was at, and refuses what a living one is", async () => {
    await mkdir(join(place.directory, "checkouts"));
    const claim = join(place.directory, "checkouts/rw.claim");
    await writeFile(claim, "another-boot:1:1:1");
    await mount();
    const results = await Promise.allSettled([unmount(), unmount()]);
    const refused = results.filter(({ status }) => status === "rejected");
    for (const result of refused) expect(result).toMatchObject({ reason: { code: "failed_precondition" } });
    expect(refused.length).toBeLessThan(2);
    expect(await readdir(join(place.directory, "checkouts"))).toEqual([]);
  });

  it("leaves nothing of a checkout that is aborted, and saves nothing of an unmount that is", async () => {
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(mounter.mount(await driver.mounts(place), target, { signal })).rejects.toBe(reason);
    const controller = new AbortController();
    const mounting = mounter.mount(await driver.mounts(place), target, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 15);
    await expect(mounting).rejects.toBe(reason);
    expect(await readdir(target)).toEqual([]);

    await mount();
    await writeFile(join(target, "new"), "new");
    await expect(mounter.unmount(await driver.mounts(place), target, { signal })).rejects.toBe(reason);
    expect(await layers()).toEqual([]);
    await unmount();
    expect(await layers()).toEqual(["0001"]);
  });

  it("takes one mount of its own type, and nothing else", async () => {
    const bind = [{ type: "bind", source: root, options: ["ro"] }];
    await expect(mounter.mount(bind, target)).rejects.toMatchObject({ code: "unsupported" });
    const odd = [{ type: "checkout", source: place.directory, options: ["rw", "nosuid"] }];
    await expect(mounter.mount(odd, target)).rejects.toMatchObject({ code: "invalid_argument" });
  });

  async function mount(): Promise<void> {
    await mounter.mount(await driver.mounts(place), target);
  }

  async function unmount(): Promise<void> {
    await mounter.unmount(await driver.mounts(place), target);
  }

  async function layers(): Promise<string[]> {
    return (await readdir(join(place.directory, "layers"))).toSorted();
  }

  async function create(kind: SnapshotPlace["kind"], parents: readonly string[] = []): Promise<SnapshotPlace> {
    const id = String((await readdir(root)).length);
    const directory = join(root, id);
    await mkdir(directory);
    const created = { id, directory, kind, parents };
    await driver.create(created, {});
    return created;
  }

  async function differences(changes: MemoryLayerSpec): Promise<unknown[]> {
    await using tree = await driver.openTree(place, {});
    await using meant = await mergeLayers([memoryLayer(image), memoryLayer(changes)]);
    const found: unknown[] = [];
    for await (const difference of compareTrees(meant, tree)) found.push(difference);
    return found;
  }
});

async function chmodAll(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await chmodAll(join(directory, entry.name));
  }
}

async function text(tree: FileTree, path: string): Promise<string> {
  const entry = await tree.lookup(path);
  const chunks: Buffer[] = [];
  for await (const chunk of tree.read(entry!)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

async function* tarOf(spec: MemoryLayerSpec): AsyncGenerator<Uint8Array> {
  const { entries, readContents } = memoryLayer(spec);
  yield* writeTar(
    (async function* () {
      for (const entry of entries) {
        const { size, contentOffset } = entry;
        yield { ...entry, contents: (options) => readContents(contentOffset, size, options) };
      }
    })(),
  );
}
