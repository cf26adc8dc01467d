import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import type { DiskFormat } from "../src/disk-plan.js";
import { planDisk } from "../src/disk-planner.js";
import type { PlanDiskOptions } from "../src/disk-planner.js";
import { collect } from "./bytes.js";

describe("planDisk()", () => {
  it.each<[DiskFormat, number, string]>([
    ["ext4", 1024 + 56, "53ef"],
    ["erofs", 1024, "e2e1f5e0"],
    ["cpio", 0, "303730373031"],
    ["tar", 257, "757374617200"],
  ])("plans %s", async (format, offset, magic) => {
    const plan = await planDisk(memoryTree([{ path: "a" }]), { format });
    expect(plan.format).toBe(format);
    expect(Buffer.from(await collect(plan.read(offset, magic.length / 2))).toString("hex")).toBe(magic);
  });

  it("hands its options on", async () => {
    await expect(planDisk(memoryTree([]), { format: "erofs", uuid: "none" })).rejects.toMatchObject({
      code: "option_invalid",
    });
    const reason = new Error("enough");
    await expect(planDisk(memoryTree([]), { format: "cpio", signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("refuses another format", async () => {
    const options = { format: "squashfs" } as unknown as PlanDiskOptions;
    await expect(planDisk(memoryTree([]), options)).rejects.toMatchObject({
      code: "option_invalid",
      message: expect.stringContaining('"squashfs"') as string,
    });
  });
});
