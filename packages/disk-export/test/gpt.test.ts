import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { planDisk } from "../src/disk-planner.js";
import { writeDisk } from "../src/disk-writer.js";
import { collect, sha256 } from "./bytes.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const SPEC = [{ path: "f", content: { size: 300_000, fill: 5 } }];
const gpt = { architecture: "amd64" };

describe("planDisk() with a partition table", () => {
  it.each(["ext4", "erofs"] as const)("has %s as it is, in a partition at 1 MiB", async (format) => {
    const plain = await planDisk(memoryTree(SPEC), { format });
    const plan = await planDisk(memoryTree(SPEC), { format, gpt });
    expect(plan.partition).toEqual({ offset: 1 << 20, sizeBytes: plain.sizeBytes });
    expect(plan.sizeBytes % 4096).toBe(0);
    expect(sha256(await collect(plan.read(1 << 20, plain.sizeBytes)))).toBe(
      sha256(await collect(plain.read(0, plain.sizeBytes))),
    );
  });

  it("has the same identifiers for the same disk, and others for another", async () => {
    const headOf = async (uuid?: string): Promise<string> => {
      const plan = await planDisk(memoryTree(SPEC), { format: "erofs", gpt, ...(uuid === undefined ? {} : { uuid }) });
      return sha256(await collect(plan.read(0, 17_408)));
    };
    expect(await headOf()).toBe(await headOf());
    expect(await headOf("00000000-0000-4000-8000-000000000001")).not.toBe(await headOf());
  });

  it("begins and ends at multiples of a larger alignment", async () => {
    const plan = await planDisk(memoryTree(SPEC), { format: "ext4", gpt, alignBytes: 4 << 20 });
    expect(plan.partition?.offset).toBe(4 << 20);
    expect(plan.sizeBytes % (4 << 20)).toBe(0);
  });

  it("refuses an architecture without a type of root partition, before it reads the tree", async () => {
    const planning = planDisk(memoryTree(SPEC), { format: "ext4", gpt: { architecture: "pdp11" } });
    await expect(planning).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("amd64") as string,
    });
  });

  it("is refused for an archive", async () => {
    const options = { format: "cpio", gpt } as unknown as Parameters<typeof planDisk>[1];
    await expect(planDisk(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });
});

describe.skipIf(!hasTool("sfdisk"))("sfdisk [skipped without it]", () => {
  it.each([
    ["amd64", false, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "GUID:59"],
    ["arm64", true, "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "GUID:60"],
  ] as const)("finds the root partition of %s (verity: %s)", async (architecture, verity, type, attributes) => {
    const path = join(await temporaryDirectory(), "disk");
    await writeDisk(await planDisk(memoryTree(SPEC), { format: "ext4", verity, gpt: { architecture } }), path);
    expect(runTool("sfdisk", ["--verify", path])).toMatchObject({
      status: 0,
      output: expect.stringMatching(/^(?!.*corrupt).*No errors detected/s) as string,
    });
    const { partitiontable } = JSON.parse(runTool("sfdisk", ["--json", path]).output) as {
      partitiontable: { label: string; partitions: readonly Record<string, unknown>[] };
    };
    expect(partitiontable.label).toBe("gpt");
    expect(partitiontable.partitions).toMatchObject([{ start: 2048, type, name: "root", attrs: attributes }]);
  });

  it("finds fault with a table of which one bit is wrong", async () => {
    const path = join(await temporaryDirectory(), "disk");
    const plan = await planDisk(memoryTree(SPEC), { format: "ext4", gpt });
    const bytes = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
    bytes[1024 + 40]! ^= 1;
    await writeFile(path, bytes);
    expect(runTool("sfdisk", ["--verify", path]).output).toContain("corrupt");
  });
});

describe.skipIf(!hasTool("sgdisk"))("sgdisk [skipped without it]", () => {
  it("finds no problem in either copy of the table", async () => {
    const path = join(await temporaryDirectory(), "disk");
    await writeDisk(await planDisk(memoryTree(SPEC), { format: "erofs", verity: true, gpt }), path);
    expect(runTool("sgdisk", ["-v", path])).toMatchObject({
      status: 0,
      output: expect.stringContaining("No problems found") as string,
    });
  });
});
