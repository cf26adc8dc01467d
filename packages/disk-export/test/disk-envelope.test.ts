import { readdir } from "node:fs/promises";
import { gunzipSync } from "node:zlib";

import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { planDisk } from "../src/disk-planner.js";
import { collect, sha256 } from "./bytes.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";

const SPEC = [{ path: "f", content: { size: 3_000_000, fill: 5 } }];

describe("planDisk() with gzip", () => {
  it.each(["cpio", "tar"] as const)("compresses %s into one member that says nothing of its making", async (format) => {
    const plain = await planDisk(memoryTree(SPEC), { format });
    await using plan = await planDisk(memoryTree(SPEC), { format, compression: "gzip" });
    const bytes = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
    expect(bytes.subarray(0, 10).toString("hex")).toBe("1f8b08000000000000ff");
    expect(sha256(gunzipSync(bytes))).toBe(sha256(await collect(plain.read(0, plain.sizeBytes))));
    expect(plan.sizeBytes).toBeLessThan(plain.sizeBytes / 10);
  });

  it("gives any range by itself, any number of times", async () => {
    await using plan = await planDisk(memoryTree(SPEC), { format: "cpio", compression: "gzip" });
    const whole = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
    expect(Buffer.from(await collect(plan.read(700, 900)))).toEqual(whole.subarray(700, 1600));
  });

  it("tells how far it is", async () => {
    const told: number[] = [];
    const { sizeBytes } = await planDisk(memoryTree(SPEC), { format: "tar" });
    const onProgress = (done: number, total: number): void => {
      expect(total).toBe(sizeBytes);
      told.push(done);
    };
    await using plan = await planDisk(memoryTree(SPEC), { format: "tar", compression: "gzip", onProgress });
    expect(plan.sizeBytes).toBeGreaterThan(0);
    expect(told[0]).toBe(0);
    expect(told.at(-1)).toBe(sizeBytes);
  });

  it("leaves nothing in the spool's directory, done or failed", async () => {
    const spoolDirectory = await temporaryDirectory();
    const broken = handMadeTree([ROOT, { path: "f", size: 9 << 20 }], [new Uint8Array(1 << 20)]);
    const options = { format: "cpio", compression: "gzip", spoolDirectory } as const;
    await expect(planDisk(broken, options)).rejects.toMatchObject({ code: "tree_invalid" });
    await using plan = await planDisk(memoryTree(SPEC), options);
    expect(await readdir(spoolDirectory)).toEqual([]);
    expect(plan.sizeBytes).toBeGreaterThan(0);
  });

  it("says where it cannot spool", async () => {
    const options = { format: "cpio", compression: "gzip", spoolDirectory: "/no/such/directory" } as const;
    await expect(planDisk(memoryTree(SPEC), options)).rejects.toMatchObject({
      code: "write_failed",
      cause: { code: "ENOENT" },
    });
  });

  it("rejects with the signal's reason in the middle", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const onProgress = (done: number): void => {
      if (done > 0) controller.abort(reason);
    };
    const { signal } = controller;
    await expect(planDisk(memoryTree(SPEC), { format: "tar", compression: "gzip", onProgress, signal })).rejects.toBe(
      reason,
    );
  });

  it("refuses other compressions of archives", async () => {
    const options = { format: "cpio", compression: "lz4" } as unknown as Parameters<typeof planDisk>[1];
    await expect(planDisk(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });
});

describe("planDisk() with compression and verity", () => {
  it("tells how far each pass is, one after the other", async () => {
    const told: [number, number][] = [];
    const onProgress = (done: number, total: number): void => void told.push([done, total]);
    await using plan = await planDisk(memoryTree(SPEC), {
      format: "erofs",
      compression: "lz4",
      verity: true,
      onProgress,
    });
    const { hashOffset } = plan.verity!;
    expect(told[0]).toEqual([0, 3_000_000]);
    const second = told.findIndex(([, total]) => total === hashOffset);
    expect(told[second - 1]).toEqual([3_000_000, 3_000_000]);
    expect(told[second]).toEqual([0, hashOffset]);
    expect(told.at(-1)).toEqual([hashOffset, hashOffset]);
  });
});

describe("planDisk() with an alignment", () => {
  it.each(["ext4", "erofs", "cpio", "tar"] as const)("pads %s with zeros to a multiple", async (format) => {
    const plain = await planDisk(memoryTree(SPEC), { format });
    const plan = await planDisk(memoryTree(SPEC), { format, alignBytes: 2 << 20 });
    expect(plan.sizeBytes % (2 << 20)).toBe(0);
    expect(plan.sizeBytes - plain.sizeBytes).toBeLessThan(2 << 20);
    const bytes = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
    expect(sha256(bytes.subarray(0, plain.sizeBytes))).toBe(sha256(await collect(plain.read(0, plain.sizeBytes))));
    expect(bytes.subarray(plain.sizeBytes).every((byte) => byte === 0)).toBe(true);
  });

  it("pads behind a hash tree", async () => {
    const plan = await planDisk(memoryTree(SPEC), { format: "erofs", verity: true, alignBytes: 1 << 20 });
    expect(plan.sizeBytes % (1 << 20)).toBe(0);
    expect(plan.verity?.hashOffset).toBeLessThan(plan.sizeBytes);
  });

  it.each([0, -4096, 1000, 256, 2 ** 31, Number.NaN, 4096.5])("refuses %d", async (alignBytes) => {
    await expect(planDisk(memoryTree([]), { format: "erofs", alignBytes })).rejects.toMatchObject({
      code: "option_invalid",
    });
  });
});
