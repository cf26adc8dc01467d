import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it, vi } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { writeDiskTo } from "../src/disk-stream.js";
import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
import { collect, sha256 } from "./bytes.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const HOLE = 8 << 20;
const DATA = 3_000_000;

/** A disk with a hole in it. */
async function somePlan(): Promise<DiskPlan> {
  const extents = [
    { offset: 0, length: DATA },
    { offset: DATA + HOLE, length: 5000 },
  ];
  return planErofs(memoryTree([{ path: "f", content: { size: DATA + HOLE + 5000, fill: 3 }, extents }]));
}

/** A disk whose tree gives out in the middle. */
function brokenPlan(): Promise<DiskPlan> {
  return planErofs(handMadeTree([ROOT, { path: "f", size: 9 << 20 }], [new Uint8Array(1 << 20)]));
}

async function wholeOf(plan: DiskPlan): Promise<Uint8Array> {
  return collect(plan.read(0, plan.sizeBytes));
}

/** A signal that is aborted when a disk has got half-way. */
function abortHalfway(reason: unknown): { signal: AbortSignal; onProgress: (done: number, total: number) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, onProgress: (done, total) => done > total / 2 && controller.abort(reason) };
}

async function makeFifo(): Promise<string> {
  const path = join(await temporaryDirectory(), "fifo");
  expect(runTool("mkfifo", [path]).status).toBe(0);
  return path;
}

describe("writeDisk() to a file", () => {
  it("writes the plan's bytes, and leaves its holes out", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const plan = await somePlan();
    expect(await writeDisk(plan, path)).toEqual({ sizeBytes: plan.sizeBytes });
    expect(sha256(await readFile(path))).toBe(sha256(await wholeOf(plan)));
    const { size, blocks } = await stat(path);
    expect(size).toBe(plan.sizeBytes);
    expect(blocks * 512).toBeLessThan(size - HOLE / 2);
  });

  it("gives the SHA-256 of the whole disk, holes included", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const plan = await somePlan();
    const { digest } = await writeDisk(plan, path, { digest: true });
    expect(digest).toBe(`sha256:${sha256(await readFile(path))}`);
  });

  it("tells how far it is, from nothing to all", async () => {
    const plan = await somePlan();
    const told: number[] = [];
    await writeDisk(plan, join(await temporaryDirectory(), "disk"), {
      onProgress: (done, total) => {
        expect(total).toBe(plan.sizeBytes);
        told.push(done);
      },
    });
    expect(told[0]).toBe(0);
    expect(told.at(-1)).toBe(plan.sizeBytes);
    expect(told).toEqual([...told].sort((one, other) => one - other));
  });

  it("replaces a file, through symlinks too, and leaves nothing else", async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "real"), "what was here");
    await symlink("real", join(directory, "link"));
    const plan = await somePlan();
    await writeDisk(plan, join(directory, "link"));
    expect(sha256(await readFile(join(directory, "real")))).toBe(sha256(await wholeOf(plan)));
    expect(await readlink(join(directory, "link"))).toBe("real");
    expect(await readdir(directory)).toEqual(["link", "real"]);
  });

  it("writes under a name of 255 bytes", async () => {
    const directory = await temporaryDirectory();
    await writeDisk(await somePlan(), join(directory, "n".repeat(255)));
    expect(await readdir(directory)).toEqual(["n".repeat(255)]);
  });

  it("leaves what was there, and nothing else, when reading the plan fails", async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "disk"), "what was here");
    await expect(writeDisk(await brokenPlan(), join(directory, "disk"))).rejects.toMatchObject({
      code: "tree_invalid",
    });
    expect(await readFile(join(directory, "disk"), "utf8")).toBe("what was here");
    expect(await readdir(directory)).toEqual(["disk"]);
  });

  it("leaves nothing when it is aborted, and rejects with the signal's reason", async () => {
    const directory = await temporaryDirectory();
    const reason = new Error("enough");
    await expect(writeDisk(await somePlan(), join(directory, "disk"), abortHalfway(reason))).rejects.toBe(reason);
    await expect(
      writeDisk(await somePlan(), join(directory, "disk"), { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });

  it("leaves nothing when the caller's progress function throws", async () => {
    const directory = await temporaryDirectory();
    const error = new Error("the bar broke");
    const onProgress = (): void => {
      throw error;
    };
    await expect(writeDisk(await somePlan(), join(directory, "disk"), { onProgress })).rejects.toBe(error);
    expect(await readdir(directory)).toEqual([]);
  });

  it("leaves nothing when the rename fails", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "disk");
    const onProgress = (done: number, total: number): void => {
      if (done === total) void runTool("mkdir", [path]);
    };
    await expect(writeDisk(await somePlan(), path, { onProgress })).rejects.toMatchObject({
      code: "write_failed",
      cause: { code: "EISDIR" },
    });
    expect(await readdir(directory)).toEqual(["disk"]);
  });

  it("says why a path cannot be written, with the system's error as the cause", async () => {
    const directory = await temporaryDirectory();
    await expect(writeDisk(await somePlan(), directory)).rejects.toMatchObject({
      code: "write_failed",
      message: `cannot write disk to ${directory}: it is a directory`,
    });
    await expect(writeDisk(await somePlan(), join(directory, "no", "disk"))).rejects.toMatchObject({
      code: "write_failed",
      cause: { code: "ENOENT" },
    });
    await writeFile(join(directory, "file"), "");
    await expect(writeDisk(await somePlan(), join(directory, "file", "disk"))).rejects.toMatchObject({
      code: "write_failed",
      cause: { code: "ENOTDIR" },
    });
  });
});

describe("writeDisk() to what is not a file", () => {
  it("streams to a character device", async () => {
    const plan = await somePlan();
    expect(await writeDisk(plan, "/dev/null")).toEqual({ sizeBytes: plan.sizeBytes });
  });

  it("fails with the system's error where the device is full", async () => {
    await expect(writeDisk(await somePlan(), "/dev/full")).rejects.toMatchObject({
      code: "write_failed",
      cause: { code: "ENOSPC" },
    });
  });

  it("streams to standard output, holes as zeros", async () => {
    const plan = await somePlan();
    const parts: Buffer[] = [];
    const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk, callback) => {
      parts.push(Buffer.from(chunk as Uint8Array));
      (callback as unknown as () => void)();
      return true;
    });
    try {
      await writeDisk(plan, "-");
    } finally {
      write.mockRestore();
    }
    expect(sha256(Buffer.concat(parts))).toBe(sha256(await wholeOf(plan)));
  });

  describe.skipIf(!hasTool("mkfifo"))("a FIFO [skipped without mkfifo]", () => {
    it("waits for a reader and gives it the whole disk", async () => {
      const path = await makeFifo();
      const plan = await somePlan();
      const writing = writeDisk(plan, path, { digest: true });
      const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "inherit"] });
      const read = await collect(reader.stdout);
      expect((await writing).digest).toBe(`sha256:${sha256(read)}`);
      expect(read.length).toBe(plan.sizeBytes);
    });

    it("fails when the reader goes away", async () => {
      const path = await makeFifo();
      const writing = writeDisk(await somePlan(), path);
      const reader = spawn("head", ["-c", "10", path], { stdio: "ignore" });
      await expect(writing).rejects.toMatchObject({ code: "write_failed", cause: { code: "EPIPE" } });
      if (reader.exitCode === null) await once(reader, "exit");
    });

    it("stops waiting for a reader when it is aborted", async () => {
      const path = await makeFifo();
      const reason = new Error("enough");
      const controller = new AbortController();
      const writing = writeDisk(await somePlan(), path, { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 50);
      await expect(writing).rejects.toBe(reason);
    });

    it("stops waiting for a reader that does not read", async () => {
      const path = await makeFifo();
      const reason = new Error("enough");
      const controller = new AbortController();
      const writing = writeDisk(await somePlan(), path, { signal: controller.signal });
      const reader = spawn("sleep 60 <fifo", { shell: true, cwd: join(path, ".."), detached: true, stdio: "ignore" });
      try {
        setTimeout(() => controller.abort(reason), 200);
        await expect(writing).rejects.toBe(reason);
      } finally {
        process.kill(-(reader.pid ?? 0));
      }
    });
  });
});

describe("writeDiskTo()", () => {
  it("gives the sink every byte in order, holes as zeros", async () => {
    const plan = await somePlan();
    const parts: Buffer[] = [];
    const written = await writeDiskTo(plan, async (bytes) => void parts.push(Buffer.from(bytes)), { digest: true });
    expect(written.digest).toBe(`sha256:${sha256(Buffer.concat(parts))}`);
    expect(sha256(Buffer.concat(parts))).toBe(sha256(await wholeOf(plan)));
  });

  it("never calls a sink that is still busy, nor changes the bytes that it has", async () => {
    let busy = false;
    await writeDiskTo(await somePlan(), async (bytes) => {
      expect(busy).toBe(false);
      busy = true;
      const before = sha256(bytes);
      await new Promise((resolve) => setTimeout(resolve, 3));
      expect(sha256(bytes)).toBe(before);
      busy = false;
    });
  });

  it("rejects with what the sink throws", async () => {
    const error = new Error("no more");
    await expect(writeDiskTo(await somePlan(), () => Promise.reject(error))).rejects.toBe(error);
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(writeDiskTo(await somePlan(), () => Promise.resolve(), abortHalfway(reason))).rejects.toBe(reason);
  });
});
