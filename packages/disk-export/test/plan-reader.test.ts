import { memoryTree } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan, Segment } from "../src/disk-plan.js";
import { planErofs } from "../src/erofs/plan.js";
import { createDiskPlan } from "../src/plan-reader.js";
import { collect } from "./bytes.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";

function planOf(segments: readonly Segment[], sizeBytes: number): DiskPlan {
  return createDiskPlan({ format: "erofs", sizeBytes, segments, losses: [], tree: memoryTree([]) });
}

async function planWithAll(): Promise<DiskPlan> {
  return planErofs(
    memoryTree([
      { path: "a", content: { size: 10_000, fill: (at: number) => at } },
      { path: "b", content: { size: 300_000, fill: 5 }, extents: [{ offset: 100_000, length: 50 }] },
      { path: "c/d", content: { size: 70_000, fill: 6 } },
    ]),
  );
}

describe("createDiskPlan()", () => {
  it("reads any range as the whole has it", async () => {
    const plan = await planWithAll();
    const whole = await collect(plan.read(0, plan.sizeBytes));
    expect(whole.length).toBe(plan.sizeBytes);
    const range = fc
      .tuple(fc.nat(plan.sizeBytes), fc.nat(plan.sizeBytes))
      .map(([one, other]) => [Math.min(one, other), Math.abs(one - other)] as const);
    await fc.assert(
      fc.asyncProperty(range, async ([offset, length]) => {
        const read = await collect(plan.read(offset, length));
        expect(Buffer.compare(read, whole.subarray(offset, offset + length))).toBe(0);
      }),
    );
  });

  it("answers reads at the same time", async () => {
    const plan = await planWithAll();
    const whole = await collect(plan.read(0, plan.sizeBytes));
    const offsets = [0, 1024, 4096, 9000, 100_000];
    const reads = await Promise.all(offsets.map((offset) => collect(plan.read(offset, plan.sizeBytes - offset))));
    for (const [index, read] of reads.entries()) expect(Buffer.compare(read, whole.subarray(offsets[index]))).toBe(0);
  });

  it("makes a segment once that is read block by block", async () => {
    let made = 0;
    const bytes = (): Uint8Array => {
      made++;
      return Uint8Array.from({ length: 65_536 }, (_, index) => index >> 8);
    };
    const plan = planOf([{ offset: 4096, length: 65_536, bytes }], 100_000);
    for (let at = 0; at < 16; at++) {
      const block = await collect(plan.read(4096 + 4096 * at, 4096));
      expect([block.length, block[0], block.at(-1)]).toEqual([4096, 16 * at, 16 * at + 15]);
    }
    expect(made).toBe(1);
  });

  it("gathers small segments: 70,000 of them are a few chunks", async () => {
    const segments = Array.from({ length: 70_000 }, (_, index) => ({
      offset: 32 * index,
      length: 10,
      bytes: () => new Uint8Array(10).fill(index),
    }));
    const lengths: number[] = [];
    for await (const chunk of planOf(segments, 32 * 70_000).read(0, 32 * 70_000)) lengths.push(chunk.length);
    expect(lengths).toEqual([1 << 20, 1 << 20, 32 * 70_000 - (2 << 20)]);
  });

  it("takes small files that are at hand, and copies them at once", async () => {
    const content = (at: number): number => at % 251;
    const memory = memoryTree(
      Array.from({ length: 500 }, (_, index) => ({ path: `f${1000 + index}`, content: { size: 9000, fill: content } })),
    );
    const shared = new Uint8Array(9000);
    let taken = 0;
    const tree = {
      entryCount: memory.entryCount,
      inodeCount: memory.inodeCount,
      entries: memory.entries.bind(memory),
      lookup: memory.lookup.bind(memory),
      read: memory.read.bind(memory),
      readNow(_: unknown, offset: number, length: number): Uint8Array | undefined {
        if (taken++ % 3 === 0) return undefined;
        for (let at = 0; at < length; at++) shared[at] = content(offset + at);
        queueMicrotask(() => shared.fill(255));
        return shared.subarray(0, length);
      },
      [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
    };
    const [plan, expected] = [await planErofs(tree), await planErofs(memory)];
    const read = await collect(plan.read(0, plan.sizeBytes));
    expect(taken).toBeGreaterThan(500);
    expect(Buffer.compare(read, await collect(expected.read(0, expected.sizeBytes)))).toBe(0);
  });

  it("gives no chunk over 1 MiB, whatever a segment or the tree gives", async () => {
    const plan = planOf([{ offset: 5, length: 3_000_000, bytes: () => new Uint8Array(3_000_000).fill(1) }], 9_000_000);
    let read = 0;
    for await (const chunk of plan.read(0, 9_000_000)) {
      expect(chunk.length).toBeLessThanOrEqual(1 << 20);
      read += chunk.length;
    }
    expect(read).toBe(9_000_000);
  });

  it("gives nothing for an empty range, at the end too", async () => {
    expect(await collect(planOf([], 4096).read(4096, 0))).toHaveLength(0);
  });

  it.each([
    [0, 4097],
    [4097, 0],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, Number.NaN],
  ])("refuses a range from %d of %d bytes of a disk of 4096", async (offset, length) => {
    await expect(collect(planOf([], 4096).read(offset, length))).rejects.toMatchObject({ code: "option_invalid" });
  });

  it.each([
    ["fewer", [new Uint8Array(3)]],
    ["more", [new Uint8Array(3), new Uint8Array(3)]],
    ["no", []],
  ])("throws where the tree gives %s bytes than a file has", async (_what, chunks) => {
    const plan = await planErofs(handMadeTree([ROOT, { path: "f", size: 5 }], chunks));
    await expect(collect(plan.read(0, plan.sizeBytes))).rejects.toMatchObject({
      code: "tree_invalid",
      message: expect.stringContaining("cannot read /f") as string,
    });
  });

  it("rejects with the signal's reason, before work and between chunks", async () => {
    const plan = planOf([], 10 << 20);
    const reason = new Error("enough");
    await expect(collect(plan.read(0, 1, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    const controller = new AbortController();
    const chunks = plan.read(0, plan.sizeBytes, { signal: controller.signal })[Symbol.asyncIterator]();
    await chunks.next();
    controller.abort(reason);
    await expect(chunks.next()).rejects.toBe(reason);
  });
});
