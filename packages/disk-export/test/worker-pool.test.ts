import { spawnSync } from "node:child_process";

import { describe, expect, it } from "vitest";

import { createWorkerPool } from "../src/worker-pool.js";

/** Answers with ten times the job; fails for a negative one, ends for 0, never answers for Infinity. */
const script = `
const { parentPort } = require("node:worker_threads");
parentPort.on("message", (job) => {
  if (job === 0) process.exit(3);
  if (job < 0) parentPort.postMessage({ error: new RangeError("negative") });
  else if (job !== Infinity) parentPort.postMessage({ result: job * 10 });
});`;

function newPool(size = 2): ReturnType<typeof createWorkerPool<number, number>> {
  return createWorkerPool<number, number>({ script, size });
}

describe("createWorkerPool()", () => {
  it.each([1, 2, 3])("does many jobs on %i threads", async (size) => {
    await using pool = newPool(size);
    const jobs = Array.from({ length: 50 }, (_, index) => index + 1);
    expect(await Promise.all(jobs.map((job) => pool.run(job)))).toEqual(jobs.map((job) => job * 10));
  });

  it("passes on what a job throws, and goes on", async () => {
    await using pool = newPool(1);
    await expect(pool.run(-1)).rejects.toThrow("negative");
    expect(await pool.run(2)).toBe(20);
  });

  it("rejects all jobs once a thread has ended", async () => {
    await using pool = newPool(1);
    const jobs = [pool.run(0), pool.run(1)];
    const outcomes = await Promise.allSettled(jobs);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(pool.run(1)).rejects.toThrow("code 3");
  });

  it("does not begin a job whose signal has fired", async () => {
    await using pool = newPool(1);
    const controller = new AbortController();
    const reason = new Error("enough");
    await expect(pool.run(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const first = pool.run(1);
    const second = pool.run(2, { signal: controller.signal });
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    expect(await first).toBe(10);
  });

  it("rejects what is not done when it is closed", async () => {
    const pool = newPool(1);
    const jobs = Promise.allSettled([pool.run(Infinity), pool.run(1)]);
    await pool[Symbol.asyncDispose]();
    expect((await jobs).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  it("does not keep the process alive while idle", () => {
    const program = `
      const { createWorkerPool } = await import(${JSON.stringify(new URL("../dist/worker-pool.js", import.meta.url).href)});
      const pool = createWorkerPool({ script: ${JSON.stringify(script)}, size: 1 });
      console.log(await pool.run(4));`;
    const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect({ stdout, signal }).toEqual({ stdout: "40\n", signal: null });
  });
});
