import { describe, expect, it } from "vitest";

import type { ReadPriority } from "../src/blob-reader.js";
import { createScheduler, type Scheduler } from "../src/scheduler.js";

const patience = { ms: 10_000, act: "read" };

/** Work that lasts until it is let go. */
function createWork(scheduler: Scheduler): {
  add(priority: ReadPriority, signal?: AbortSignal): ReturnType<Scheduler["run"]>;
  readonly started: ReadPriority[];
  endOne(): Promise<void>;
} {
  const started: ReadPriority[] = [];
  const running: (() => void)[] = [];
  return {
    started,
    add: (priority, signal) =>
      scheduler.run(
        () => {
          started.push(priority);
          return new Promise<void>((resolve) => running.push(resolve));
        },
        { priority, patience, signal },
      ),
    async endOne() {
      running.shift()?.();
      await new Promise((resolve) => setTimeout(resolve, 0));
    },
  };
}

const count = (started: readonly ReadPriority[], priority: ReadPriority): number =>
  started.filter((one) => one === priority).length;

describe("the scheduler", () => {
  it("lets who waits go first, and the background every fourth time, however many wait", async () => {
    const work = createWork(createScheduler({ concurrency: 2 }));
    for (let index = 0; index < 60; index++) work.add("demand");
    for (let index = 0; index < 20; index++) work.add("background");
    for (let index = 0; index < 38; index++) await work.endOne();
    expect(work.started).toHaveLength(40);
    expect(count(work.started, "background")).toBeGreaterThanOrEqual(9);
    expect(count(work.started, "background")).toBeLessThanOrEqual(10);
  });

  it("comes to the end of the background beside a reader that never stops", async () => {
    const work = createWork(createScheduler({ concurrency: 4 }));
    for (let index = 0; index < 8; index++) work.add("demand");
    for (let index = 0; index < 50; index++) work.add("background");
    let turns = 0;
    while (count(work.started, "background") < 50) {
      work.add("demand");
      await work.endOne();
      turns++;
    }
    expect(turns).toBeLessThanOrEqual(4 * 50);
  });

  it("leaves a place to who comes while the background is at work", async () => {
    const work = createWork(createScheduler({ concurrency: 4 }));
    for (let index = 0; index < 10; index++) work.add("background");
    expect(work.started).toEqual(["background", "background"]);
    work.add("demand");
    expect(work.started.at(-1)).toBe("demand");
  });

  it("runs no more at a time than it may", async () => {
    const work = createWork(createScheduler({ concurrency: 3 }));
    for (let index = 0; index < 10; index++) work.add("demand");
    expect(work.started).toHaveLength(3);
    await work.endOne();
    expect(work.started).toHaveLength(4);
  });

  it("runs the background alone where there is one place", async () => {
    const work = createWork(createScheduler({ concurrency: 1 }));
    work.add("background");
    expect(work.started).toEqual(["background"]);
  });

  it("moves work up that somebody waits for now", async () => {
    const work = createWork(createScheduler({ concurrency: 1 }));
    work.add("demand");
    work.add("background");
    const promoted = work.add("background");
    promoted.promote();
    work.add("demand");
    for (let index = 0; index < 3; index++) await work.endOne();
    // the one that was moved up, then the one that came after that
    expect(work.started).toEqual(["demand", "background", "demand", "background"]);
  });

  it("takes out work whose signal aborts while it waits", async () => {
    const work = createWork(createScheduler({ concurrency: 1 }));
    const reason = new Error("enough");
    await expect(work.add("demand", AbortSignal.abort(reason)).result).rejects.toBe(reason);
    work.add("demand");
    const controller = new AbortController();
    const waiting = work.add("demand", controller.signal);
    controller.abort(reason);
    await expect(waiting.result).rejects.toBe(reason);
    await work.endOne();
    expect(work.started).toEqual(["demand"]);
  });

  it("gives up on work that waits while nothing gets on, and waits while something does", async () => {
    const scheduler = createScheduler({ concurrency: 1 });
    scheduler.run(() => new Promise(() => {}), { priority: "demand", patience });
    const run = (ms: number): Promise<unknown> =>
      scheduler.run(() => Promise.resolve("done"), { priority: "demand", patience: { ms, act: "read it" } }).result;
    const progress = setInterval(() => scheduler.progress(), 10);
    const waiting = run(60);
    const early = await Promise.race([
      waiting.catch(() => "gave up"),
      new Promise((resolve) => setTimeout(resolve, 200, "waits")),
    ]);
    clearInterval(progress);
    expect(early).toBe("waits");
    await expect(waiting).rejects.toMatchObject({ code: "timeout", message: /cannot read it/ });
  });
});
