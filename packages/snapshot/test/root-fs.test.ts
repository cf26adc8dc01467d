import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import type { Snapshotter } from "../src/index.js";
import {
  createCheckoutMounter,
  createSnapshotter,
  createTreeDriver,
  initRootFS,
  type RootFSInitializer,
} from "../src/node/index.js";
import { temporaryDirectory } from "./temporary.js";

const mounter = createCheckoutMounter();

async function openSnapshotter(): Promise<Snapshotter> {
  const snapshotter = await createSnapshotter(await temporaryDirectory(), createTreeDriver());
  onTestFinished(() => snapshotter[Symbol.asyncDispose]());
  await snapshotter.prepare("making");
  await snapshotter.commit("base", "making");
  return snapshotter;
}

function makingDirectory(name: string): RootFSInitializer & { runs: number } {
  const initializer = {
    name: `make-${name}`,
    runs: 0,
    async run(directory: string) {
      initializer.runs++;
      await mkdir(join(directory, name));
    },
  };
  return initializer;
}

async function names(snapshotter: Snapshotter): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of snapshotter.walk()) found.push(name);
  return found;
}

async function paths(snapshotter: Snapshotter, name: string): Promise<string[]> {
  await using tree = await snapshotter.openTree(name);
  const found: string[] = [];
  for await (const { path } of tree.entries()) found.push(path);
  return found;
}

describe("initRootFS()", () => {
  it("prepares or views, and gives the mounts", async () => {
    const snapshotter = await openSnapshotter();
    const labels = { of: "a container" };
    const written = await initRootFS("one", "base", false, snapshotter, mounter, { labels });
    const read = await initRootFS("two", "base", true, snapshotter, mounter);
    expect(written).toEqual(await snapshotter.mounts("one"));
    expect(read).toEqual(await snapshotter.mounts("two"));
    expect(await snapshotter.stat("one")).toMatchObject({ kind: "active", parent: "base", labels });
    expect(await snapshotter.stat("two")).toMatchObject({ kind: "view", parent: "base" });
  });

  it("initializes once for all who start from the same parent", async () => {
    const snapshotter = await openSnapshotter();
    const initializers = [makingDirectory("dev"), makingDirectory("proc")];
    const containers = ["one", "two", "three"];
    await Promise.all(
      containers.map((name) => initRootFS(name, "base", false, snapshotter, mounter, { initializers })),
    );
    for (const name of containers) expect(await paths(snapshotter, name)).toEqual(["", "dev", "proc"]);
    expect(initializers.map(({ runs }) => runs)).toEqual([1, 1]);
    expect(await snapshotter.stat("base make-dev make-proc")).toMatchObject({
      kind: "committed",
      parent: "base make-dev",
      labels: {},
    });
    expect(await names(snapshotter)).toHaveLength(6);
  });

  it("begins with nothing where there is no parent", async () => {
    const snapshotter = await openSnapshotter();
    await initRootFS("one", undefined, false, snapshotter, mounter, { initializers: [makingDirectory("dev")] });
    expect((await snapshotter.stat("one")).parent).toBe("make-dev");
  });

  it("leaves nothing of an initialization that failed, and does it again", async () => {
    const snapshotter = await openSnapshotter();
    const failure = new Error("no");
    let target = "";
    const failing: RootFSInitializer = {
      name: "make-dev",
      run(directory) {
        target = directory;
        return Promise.reject(failure);
      },
    };
    const initializing = initRootFS("one", "base", false, snapshotter, mounter, { initializers: [failing] });
    await expect(initializing).rejects.toBe(failure);
    expect(await names(snapshotter)).toEqual(["base"]);
    await expect(readdir(target)).rejects.toMatchObject({ code: "ENOENT" });
    await initRootFS("one", "base", false, snapshotter, mounter, { initializers: [makingDirectory("dev")] });
    expect(await paths(snapshotter, "one")).toEqual(["", "dev"]);
  });

  it("refuses a name that is taken, before it initializes anything", async () => {
    const snapshotter = await openSnapshotter();
    const initializer = makingDirectory("dev");
    const initializing = initRootFS("base", "base", false, snapshotter, mounter, { initializers: [initializer] });
    await expect(initializing).rejects.toMatchObject({ code: "already_exists" });
    expect(initializer.runs).toBe(0);
  });

  it("needs the parent", async () => {
    const snapshotter = await openSnapshotter();
    const initializers = [makingDirectory("dev")];
    for (const options of [{}, { initializers }]) {
      const initializing = initRootFS("one", "none", false, snapshotter, mounter, options);
      await expect(initializing).rejects.toMatchObject({ code: "not_found" });
    }
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const initializing = initRootFS("one", "base", false, await openSnapshotter(), mounter, { signal });
    await expect(initializing).rejects.toThrow("enough");
  });
});
