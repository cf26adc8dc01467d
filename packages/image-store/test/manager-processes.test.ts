import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { createImageManager } from "../src/manager.js";
import type { ImageManager } from "../src/manager.js";
import { pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";

const WORKER = fileURLToPath(new URL("manager-worker.mjs", import.meta.url));
const platform = { os: "linux", architecture: "amd64" };
const NAMES = ["docker.io/library/a:latest", "docker.io/library/b:latest"];

let directory = "";
let store: ImageStore;
let source: ImageStore;
let manager: ImageManager;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "manager-"));
  source = await openImageStore(join(directory, "source"));
  for (const name of NAMES) {
    const text = Array.from({ length: 20_000 }, (_, at) => `${name} ${at * at}`).join(" ");
    const images = await sampleSource({
      layers: [
        { path: "base", text: "shared" },
        { path: "own", text },
      ],
      index: true,
    });
    await pullImage(source, images, "latest", { platform, name });
  }
  store = await openImageStore(join(directory, "store"));
  manager = await createImageManager(store, {
    sources: async (name) => ({ images: source, name, close: async () => {} }),
  });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const each of [manager, store, source]) await each[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function start(point: string, ...names: string[]): { ended: Promise<number>; said(text: string): Promise<void> } {
  const task = [store.directory, source.directory, point, ...names];
  const child = spawn(process.execPath, [WORKER, ...task], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  let all = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (all += text));
  return {
    ended: once(child, "close").then(([code]) => code as number),
    said: (text) => expect.poll(() => all, { timeout: 20_000 }).toContain(text),
  };
}

async function kill(): Promise<void> {
  const [child] = children.splice(0);
  const ended = once(child!, "close");
  child!.kill("SIGKILL");
  await ended;
}

/** What is there when nothing has gone wrong on the way. */
async function requireReady(): Promise<void> {
  for (const name of NAMES) {
    const { built, digest } = await manager.waitForReady(name);
    expect((await store.get(name)).digest).toBe(digest);
    expect(readFileSync(built!.disks[0]!.path).length).toBe(built!.sizeBytes);
  }
  expect(readdirSync(join(store.directory, "disks")).length).toBe(NAMES.length);
  const left = await store.database.read((queries) =>
    queries.selectFrom("builds").selectAll().where("status", "!=", "ready").execute(),
  );
  expect(left).toEqual([]);
}

describe("a process that is killed while it builds", () => {
  it.each(["pull-end", "convert", "convert-end", "record"])(
    "leaves a first build and one that waits to be recovered: %s",
    async (point) => {
      const [first, second] = NAMES;
      await start(point, first!, second!).said(`at ${point}`);
      await expect(store.get(first!)).rejects.toMatchObject({ code: "not_found" });
      expect(await manager.recoverInterruptedBuilds()).toEqual([]);
      expect((await manager.getImage(second!)).queuePosition).toBe(1);
      await kill();
      expect((await manager.getImage(first!)).status).toBe(point === "pull-end" ? "pulling" : "converting");
      expect((await manager.recoverInterruptedBuilds()).map(({ name }) => name)).toEqual(NAMES);
      await requireReady();
      expect((await manager.getImage(first!)).attempts).toBe(2);
      expect((await manager.getImage(second!)).attempts).toBe(1);
    },
  );

  it("leaves a build to whoever asks for it again", async () => {
    await start("convert", ...NAMES).said("at convert");
    await kill();
    for (const name of NAMES) await manager.createImage(name, { platform, disk: { format: "erofs" } });
    await requireReady();
  });

  it("leaves what it has recorded as it is", async () => {
    const [first] = NAMES;
    await start("record-end", first!).said("at record-end");
    await kill();
    expect(await manager.recoverInterruptedBuilds()).toEqual([]);
    expect(await manager.getImage(first!)).toMatchObject({ status: "ready", attempts: 1 });
    expect((await store.get(first!)).disks.length).toBe(1);
  });
});

describe("several processes", () => {
  it("build what all of them ask for once", async () => {
    const workers = Array.from({ length: 3 }, () => start("nowhere", ...NAMES));
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual([0, 0, 0]);
    await requireReady();
    for (const name of NAMES) expect((await manager.getImage(name)).attempts).toBe(1);
  });
});
