import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openBuildQueue } from "../src/build-queue.js";
import type { BuildQueue, BuildQueueOptions, BuildRun } from "../src/build-queue.js";
import type { Build, BuildRequest } from "../src/build-queue-rows.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";

const platform = { os: "linux", architecture: "amd64" };

let directory = "";
let store: ImageStore;
let queue: BuildQueue;
/** The builds that have begun, in order, and how each is let go on. */
let begun: string[] = [];
const goOn = new Map<string, () => void>();

/** Begins, and waits to be let go on, which a signal does too. */
async function work({ build, signal, ready }: BuildRun): Promise<void> {
  begun.push(build.name);
  await new Promise<void>((resolve) => {
    goOn.set(build.name, resolve);
    signal.addEventListener("abort", () => {
      goOn.delete(build.name);
      resolve();
    });
  });
  signal.throwIfAborted();
  if (build.name.startsWith("bad")) throw new Error("it is bad");
  await store.database.write(ready);
}

async function open(options: Partial<BuildQueueOptions> = {}): Promise<BuildQueue> {
  return openBuildQueue(store, { work, limit: 2, ...options });
}

function request(name: string, change: Partial<BuildRequest> = {}): BuildRequest {
  return { name, digest: digestOf(Buffer.from(name)), platform, request: { format: "ext4" }, ...change };
}

async function add(...names: string[]): Promise<Build[]> {
  const builds: Build[] = [];
  for (const name of names) builds.push(await queue.enqueue(request(name)));
  return builds;
}

async function statusOf({ id }: Pick<Build, "id">): Promise<string | undefined> {
  const row = await store.database.read((queries) =>
    queries.selectFrom("builds").select("status").where("id", "=", id).executeTakeFirst(),
  );
  return row?.status;
}

async function finish(...names: string[]): Promise<void> {
  for (const name of names) {
    await expect.poll(() => goOn.has(name), { interval: 5 }).toBe(true);
    goOn.get(name)!();
    goOn.delete(name);
  }
}

const hasBegun = (...names: string[]): Promise<void> => expect.poll(() => begun, { interval: 5 }).toEqual(names);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "build-queue-"));
  store = await openImageStore(directory);
  queue = await open();
  begun = [];
  goOn.clear();
});
afterEach(async () => {
  await queue[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

describe("a queue of builds", () => {
  it("begins as many as its limit, and the others in the order in which they came", async () => {
    const builds = await add("a", "b", "c", "d");
    await hasBegun("a", "b");
    expect(await Promise.all(builds.map(({ id }) => queue.position(id)))).toEqual([0, 0, 1, 2]);
    expect(queue).toMatchObject({ limit: 2, active: 2, pending: 2, length: 4 });
    await finish("b");
    await hasBegun("a", "b", "c");
    expect(await Promise.all(builds.map(({ id }) => queue.position(id)))).toEqual([0, undefined, 0, 1]);
    await finish("a", "c", "d");
    await queue.idle();
    expect(await Promise.all(builds.map(statusOf))).toEqual(["ready", "ready", "ready", "ready"]);
    expect(queue).toMatchObject({ active: 0, pending: 0, length: 0 });
  });

  it("tells the same positions to other processes", async () => {
    await using other = await open();
    const builds = await add("a", "b", "c", "d");
    await hasBegun("a", "b");
    await expect.poll(() => Promise.all(builds.map(({ id }) => other.position(id)))).toEqual([0, 0, 1, 2]);
    expect(await other.position(999)).toBeUndefined();
    await finish("a", "b", "c", "d");
  });

  it("has one build of what is asked for again, until it has ended", async () => {
    const [first] = await add("a");
    const moved = request("a", { digest: digestOf(Buffer.from("other")) });
    expect((await queue.enqueue(moved)).id).toBe(first!.id);
    expect(queue.length).toBe(1);
    await finish("a");
    await queue.idle();
    const [again] = await add("a");
    expect(again).toMatchObject({ id: first!.id, status: "pending", finishedAt: undefined });
    const other = await queue.enqueue(request("b", { digest: digestOf(Buffer.from("other")) }));
    expect(other.id).not.toBe(first!.id);
    await finish("a", "b");
    await queue.idle();
    expect(begun).toEqual(["a", "a", "b"]);
  });

  it("leaves what somebody has just made as it is, and makes again what is stale", async () => {
    const [first] = await add("a");
    await finish("a");
    await queue.idle();
    expect(await queue.enqueue(request("a"), { stale: [] })).toMatchObject({
      id: first!.id,
      status: "ready",
      attempts: 1,
    });
    expect(queue.length).toBe(0);
    const again = await queue.enqueue(request("a"), { stale: [{ id: first!.id, attempts: 1 }] });
    expect(again).toMatchObject({ id: first!.id, status: "pending" });
    await finish("a");
    await queue.idle();
    const stale = [{ id: first!.id, attempts: 1 }];
    expect(await queue.enqueue(request("a"), { stale })).toMatchObject({ status: "ready", attempts: 2 });
    expect(begun).toEqual(["a", "a"]);
  });

  it("has one build where two queues are asked at once", async () => {
    await using other = await open();
    const builds = await Promise.all([queue, other, queue, other].map((each) => each.enqueue(request("a"))));
    expect(new Set(builds.map(({ id }) => id)).size).toBe(1);
    await finish("a");
    await queue.idle();
    await other.idle();
    expect(begun).toEqual(["a"]);
  });

  it("keeps why a build failed, and goes on with the next", async () => {
    const [bad, good] = await add("bad", "good");
    await finish("bad", "good");
    await queue.idle();
    expect([await statusOf(bad!), await statusOf(good!)]).toEqual(["failed", "ready"]);
    const row = await store.database.read((queries) =>
      queries.selectFrom("builds").selectAll().where("id", "=", bad!.id).executeTakeFirstOrThrow(),
    );
    expect(row).toMatchObject({ error: "it is bad", error_code: null, owner: null, attempts: 1 });
  });

  it("refuses what comes after it was closed", async () => {
    await queue[Symbol.asyncDispose]();
    await expect(queue.enqueue(request("a"))).rejects.toMatchObject({ code: "closed" });
    await expect(queue.recover()).rejects.toMatchObject({ code: "closed" });
    queue = await open();
  });
});

describe("cancelling a build", () => {
  it("that waits lets it never begin", async () => {
    const [, , waiting] = await add("a", "b", "c");
    await hasBegun("a", "b");
    expect(await queue.cancel(waiting!.id)).toBe(true);
    expect(queue).toMatchObject({ active: 2, pending: 0 });
    expect(await queue.position(waiting!.id)).toBeUndefined();
    await finish("a", "b");
    await queue.idle();
    expect(begun).toEqual(["a", "b"]);
    expect(await statusOf(waiting!)).toBe("cancelled");
    expect(await queue.cancel(waiting!.id)).toBe(false);
  });

  it("that has begun stops it, and makes way for the next", async () => {
    const [first] = await add("a", "b", "c");
    await hasBegun("a", "b");
    expect(await queue.cancel(first!.id)).toBe(true);
    await hasBegun("a", "b", "c");
    await finish("b", "c");
    await queue.idle();
    expect(await statusOf(first!)).toBe("cancelled");
  });

  it("of another process keeps it from being ready", async () => {
    await using other = await open();
    const [first] = await add("a");
    await hasBegun("a");
    expect(await other.cancel(first!.id)).toBe(true);
    await finish("a");
    await queue.idle();
    expect(await statusOf(first!)).toBe("cancelled");
    await add("a");
    await finish("a");
    await queue.idle();
    expect(await statusOf(first!)).toBe("ready");
  });
});

describe("recovering builds", () => {
  it("takes those of a queue that was closed, in their order, those that had begun too", async () => {
    const builds = await add("a", "b", "c");
    await hasBegun("a", "b");
    await queue[Symbol.asyncDispose]();
    expect(await Promise.all(builds.map(statusOf))).toEqual(["pending", "pending", "pending"]);
    queue = await open({ limit: 1 });
    expect((await queue.recover()).map(({ id }) => id)).toEqual(builds.map(({ id }) => id));
    await finish("a", "b", "c");
    await queue.idle();
    expect(begun).toEqual(["a", "b", "a", "b", "c"]);
  });

  it("takes nothing from a queue that is open", async () => {
    await add("a");
    await using other = await open();
    expect(await other.recover()).toEqual([]);
    expect((await other.enqueue(request("a"))).status).toMatch(/pending|pulling/);
    expect(other.length).toBe(0);
    await finish("a");
  });

  it("goes to one of several queues that try at once", async () => {
    await add("a", "b", "c");
    await queue[Symbol.asyncDispose]();
    const queues = await Promise.all([open(), open(), open()]);
    const taken = await Promise.all(queues.map((each) => each.recover()));
    expect(taken.flat().map(({ name }) => name)).toEqual(["a", "b", "c"]);
    await hasBegun("a", "b", "a", "b");
    for (const each of queues) await each[Symbol.asyncDispose]();
    queue = await open();
  });

  it("begins again what the queue itself could not end", async () => {
    const [build] = await add("a");
    await hasBegun("a");
    const { owner } = await store.database.read((queries) =>
      queries.selectFrom("builds").select("owner").executeTakeFirstOrThrow(),
    );
    await finish("a");
    await queue.idle();
    await store.database.write((queries) =>
      queries.updateTable("builds").set({ status: "converting", owner, finished_at: null }).execute(),
    );
    expect((await queue.recover()).map(({ id }) => id)).toEqual([build!.id]);
    expect(await queue.recover()).toEqual([]);
    await finish("a");
    await queue.idle();
    expect(await statusOf(build!)).toBe("ready");
  });

  it("happens to a build that is asked for again", async () => {
    const [build] = await add("a");
    await queue[Symbol.asyncDispose]();
    queue = await open();
    expect((await queue.enqueue(request("a"))).id).toBe(build!.id);
    await finish("a");
    await queue.idle();
    expect(await statusOf(build!)).toBe("ready");
  });
});
