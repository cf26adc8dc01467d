import { open, readdir, readFile, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
import { collect, sha256 } from "./bytes.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** What all file handles share: each call of theirs can be made to fail as a system's does. */
let handles: FileHandle;
beforeAll(async () => {
  await using handle = await open("/dev/null");
  handles = Object.getPrototypeOf(handle) as FileHandle;
});
afterEach(() => vi.restoreAllMocks());

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code });
}

function somePlan(): Promise<DiskPlan> {
  return planErofs(memoryTree([{ path: "f", content: { size: 5_000_000, fill: 3 } }]));
}

describe("writeDisk() on a system that fails", () => {
  it("goes on where a write took less than it was given", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const plan = await somePlan();
    const write = handles.write;
    const spy = vi.spyOn(handles, "write").mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      const [bytes, at, length, position] = args as [Uint8Array, number, number, number];
      return Reflect.apply(write, this, [bytes, at, Math.min(length, 300_001), position]) as never;
    });
    await writeDisk(plan, path);
    expect(spy.mock.calls.length).toBeGreaterThan(10);
    spy.mockRestore();
    expect(sha256(await readFile(path))).toBe(sha256(await collect(plan.read(0, plan.sizeBytes))));
  });

  it("gives up on one that takes nothing, instead of asking for ever", async () => {
    const directory = await temporaryDirectory();
    vi.spyOn(handles, "write").mockResolvedValue({ bytesWritten: 0 } as never);
    await expect(writeDisk(await somePlan(), join(directory, "disk"))).rejects.toMatchObject({ code: "write_failed" });
    expect(await readdir(directory)).toEqual([]);
  });

  it.each([
    ["write", "EIO"],
    ["write", "ENOSPC"],
    ["write", "EDQUOT"],
    ["truncate", "EFBIG"],
    ["sync", "EIO"],
  ] as const)("leaves what was there, and nothing else, when %s fails with %s", async (call, code) => {
    const directory = await temporaryDirectory();
    const path = join(directory, "disk");
    await writeFile(path, "what was here");
    const plan = await somePlan();
    const error = systemError(code);
    vi.spyOn(handles, call).mockRejectedValueOnce(error);
    await expect(writeDisk(plan, path)).rejects.toMatchObject({ code: "write_failed", cause: error });
    vi.restoreAllMocks();
    expect(await readFile(path, "utf8")).toBe("what was here");
    expect(await readdir(directory)).toEqual(["disk"]);
  });

  it("leaves nothing when the sync that a large disk gets on the way fails, even if no later one does", async () => {
    const directory = await temporaryDirectory();
    const plan = await planErofs(memoryTree([{ path: "f", content: { size: 40_000_000, fill: 3 } }]));
    const error = systemError("EIO");
    const sync = vi.spyOn(handles, "datasync").mockRejectedValueOnce(error);
    const path = join(directory, "disk");
    await expect(writeDisk(plan, path)).rejects.toMatchObject({ code: "write_failed", cause: error });
    expect(sync).toHaveBeenCalledTimes(1);
    expect(await readdir(directory)).toEqual([]);
    await writeDisk(plan, path);
    expect((await readFile(path)).length).toBe(plan.sizeBytes);
  });

  it("does not write again after a sync that failed", async () => {
    const sync = vi.spyOn(handles, "sync").mockRejectedValue(systemError("EIO"));
    const directory = await temporaryDirectory();
    await expect(writeDisk(await somePlan(), join(directory, "disk"))).rejects.toMatchObject({ code: "write_failed" });
    expect(sync).toHaveBeenCalledTimes(1);
  });
});
