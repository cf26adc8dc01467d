import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SnapshotDriver, SnapshotInfo, Snapshotter } from "../src/index.js";
import { createDirectoryDriver, createSnapshotter } from "../src/node/index.js";
import { startProcess } from "./snapshotter-process.js";

const EMPTY_TAR = new Uint8Array(1024);

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lamella-snapshotter-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

function open(driver: SnapshotDriver = createDirectoryDriver()): Promise<Snapshotter> {
  return createSnapshotter(directory, driver);
}

async function* tar(bytes = EMPTY_TAR): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function commitEmpty(snapshotter: Snapshotter, name: string, parent?: string): Promise<void> {
  await snapshotter.prepare(`key of ${name}`, parent);
  await snapshotter.commit(name, `key of ${name}`);
}

async function list(snapshotter: Snapshotter): Promise<SnapshotInfo[]> {
  const infos: SnapshotInfo[] = [];
  for await (const info of snapshotter.walk()) infos.push(info);
  return infos;
}

/** How many directories there are after a cleanup. */
async function directoriesLeft(snapshotter: Snapshotter): Promise<number> {
  await snapshotter.cleanup();
  return (await readdir(join(directory, "snapshots"))).length;
}

describe("createSnapshotter()", () => {
  it("finds the snapshots that were made before", async () => {
    {
      await using snapshotter = await open();
      await commitEmpty(snapshotter, "name");
    }
    await using snapshotter = await open();
    expect((await snapshotter.stat("name")).kind).toBe("committed");
  });

  it("refuses the snapshots of another driver", async () => {
    await (await open())[Symbol.asyncDispose]();
    const other = { ...createDirectoryDriver(), name: "other" };
    await expect(open(other)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining('they were made with "directory"'),
    });
    await (await open())[Symbol.asyncDispose]();
  });

  it("refuses a file that is no database", async () => {
    await writeFile(join(directory, "metadata.db"), "x".repeat(4096));
    await expect(open()).rejects.toMatchObject({ code: "database_invalid" });
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("no longer wanted");
    const call = createSnapshotter(directory, createDirectoryDriver(), { signal: AbortSignal.abort(reason) });
    await expect(call).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });

  it("never gives two snapshots one directory, also when all are removed in between", async () => {
    await using snapshotter = await open();
    const sources = new Set<string>();
    for (let round = 0; round < 5; round++) {
      for (const { source } of await snapshotter.prepare("key")) sources.add(source);
      await snapshotter.remove("key");
    }
    expect(sources.size).toBe(5);
    expect(await readdir(join(directory, "snapshots"))).toEqual([]);
  });

  it("leaves nothing of a snapshot that the driver cannot make", async () => {
    const broken = new Error("no space");
    await using snapshotter = await open({ ...createDirectoryDriver(), create: () => Promise.reject(broken) });
    await expect(snapshotter.prepare("key")).rejects.toBe(broken);
    await expect(snapshotter.stat("key")).rejects.toMatchObject({ code: "not_found" });
    expect(await readdir(join(directory, "snapshots"))).toEqual([]);
  });

  it("keeps a snapshot active that the driver cannot commit", async () => {
    const broken = new Error("input/output error");
    let fails = true;
    const driver = createDirectoryDriver();
    const commit: SnapshotDriver["commit"] = (place, options) =>
      fails ? Promise.reject(broken) : driver.commit(place, options);
    await using snapshotter = await open({ ...driver, commit });
    await snapshotter.prepare("key");
    await expect(snapshotter.commit("name", "key")).rejects.toBe(broken);
    expect((await snapshotter.stat("key")).kind).toBe("active");
    fails = false;
    await snapshotter.commit("name", "key");
  });

  it("leaves to cleanup what keeps a directory from being removed, and that says what it is", async () => {
    const busy = new Error("busy");
    let fails = true;
    const release = (): Promise<void> => (fails ? Promise.reject(busy) : Promise.resolve());
    await using snapshotter = await open({ ...createDirectoryDriver(), release });
    await snapshotter.prepare("key");
    await snapshotter.remove("key");
    await snapshotter.prepare("key");
    await expect(snapshotter.cleanup()).rejects.toBe(busy);
    fails = false;
    expect(await directoriesLeft(snapshotter)).toBe(1);
  });

  it("does not clean up what is not its own", async () => {
    await using snapshotter = await open();
    await mkdir(join(directory, "snapshots", "lost+found"));
    await mkdir(join(directory, "snapshots", "999"));
    await snapshotter.cleanup();
    expect(await readdir(join(directory, "snapshots"))).toEqual(["lost+found"]);
  });
});

describe("snapshots of several processes", () => {
  it("cannot be taken or orphaned while another process is making one", async () => {
    await using snapshotter = await open();
    await commitEmpty(snapshotter, "parent");
    await using other = await startProcess(directory, "making");
    await expect(snapshotter.prepare("key")).rejects.toMatchObject({ code: "already_exists" });
    await expect(snapshotter.remove("parent")).rejects.toMatchObject({ code: "failed_precondition" });
    await expect(snapshotter.stat("key")).rejects.toMatchObject({ code: "not_found" });
    expect(await list(snapshotter)).toHaveLength(1);
    expect(await directoriesLeft(snapshotter)).toBe(2);
    await other.kill();
    expect(await directoriesLeft(snapshotter)).toBe(1);
  });

  it("give a key to the next when the process that was making it is killed", async () => {
    await using snapshotter = await open();
    await commitEmpty(snapshotter, "parent");
    await (await startProcess(directory, "making")).kill();
    await snapshotter.prepare("key", "parent");
    await snapshotter.remove("key");
    await (await startProcess(directory, "making")).kill();
    await snapshotter.remove("parent");
    expect(await list(snapshotter)).toEqual([]);
    expect(await directoriesLeft(snapshotter)).toBe(0);
  });

  it("are as they were when a process is killed while it applies a layer", async () => {
    await using snapshotter = await open();
    const [mount] = await snapshotter.prepare("key");
    await writeFile(join(mount?.source ?? "", "file"), "content");
    const other = await startProcess(directory, "applying");
    await expect(snapshotter.apply("key", tar(), { signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    await other.kill();
    await snapshotter.apply("key", tar());
    await snapshotter.commit("name", "key");
    await using tree = await snapshotter.openTree("name");
    expect((await tree.lookup("file"))?.size).toBe(7);
    expect((await readdir(join(directory, "snapshots", "1"))).length).toBe(2);
  });

  it("are committed by the next when a process is killed while it commits", async () => {
    await using snapshotter = await open();
    await snapshotter.prepare("key");
    const other = await startProcess(directory, "committing");
    await expect(snapshotter.remove("key", { signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    await other.kill();
    expect((await snapshotter.stat("key")).kind).toBe("active");
    await snapshotter.commit("name", "key");
  });

  it("let exclusive work go on when the process that did it is killed", async () => {
    await using snapshotter = await open();
    const other = await startProcess(directory, "exclusively");
    let begun = false;
    const work = snapshotter.exclusively("name", async () => {
      begun = true;
    });
    await sleep(300);
    expect(begun).toBe(false);
    await other.kill();
    await work;
    expect(begun).toBe(true);
  });

  it("are never removed under a child that another process makes", async () => {
    await using snapshotter = await open();
    for (let round = 0; round < 10; round++) await commitEmpty(snapshotter, `parent ${round}`);
    await using other = await startProcess(directory, "removing");
    const made: string[] = [];
    for (let round = 0; round < 10; round++) {
      const outcome = await snapshotter.prepare(`child ${round}`, `parent ${round}`).then(
        () => "failed_precondition",
        (error: { code: string }) => (error.code === "not_found" ? "removed" : error.code),
      );
      made.push(`${round} ${outcome}`);
    }
    await other.ended();
    expect(other.lines.slice(1)).toEqual(made);
  });

  it("stay whole whenever a process is killed, and nothing is left of it after a cleanup", async () => {
    const keys = async (snapshotter: Snapshotter): Promise<void> => {
      for (const { name, kind } of await list(snapshotter)) if (kind === "active") await snapshotter.remove(name);
    };
    let committed = 0;
    for (let round = 0; round < 6; round++) {
      const other = await startProcess(directory, "chain");
      await sleep(50 + 90 * round);
      await other.kill();
      await using snapshotter = await open();
      const infos = await list(snapshotter);
      const layers = infos.filter(({ kind }) => kind === "committed");
      expect(layers.length).toBeGreaterThanOrEqual(committed);
      committed = layers.length;
      for (const { name, parent } of layers) {
        expect(parent).toBe(name === "layer 0" ? undefined : `layer ${Number(name.slice(6)) - 1}`);
        await using tree = await snapshotter.openTree(name);
        expect(tree.entryCount).toBe(1);
        await snapshotter.usage(name);
      }
      await keys(snapshotter);
      expect(await directoriesLeft(snapshotter)).toBe(committed);
    }
    expect(committed).toBeGreaterThan(0);
  });
});
