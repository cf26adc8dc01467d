import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { planDisk } from "../src/disk-planner.js";
import { writeDisk } from "../src/disk-writer.js";
import { createHashTree } from "../src/verity/hash-tree.js";
import { verityKernelArguments } from "../src/verity/verity.js";
import { collect, sha256 } from "./bytes.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const BLOCK = 4096;
const SALT = Buffer.from("salt of these tests");
const SPEC = [{ path: "f", content: { size: 3_000_000, fill: 5 } }];

/** The levels as the kernel's documentation has them, over all of the data at once. */
function simpleTree(data: Buffer): { rootHash: string; tree: Buffer } {
  const hash = (block: Buffer): Buffer => createHash("sha256").update(SALT).update(block).digest();
  let digests = Array.from({ length: data.length / BLOCK }, (_, index) =>
    hash(data.subarray(index * BLOCK, (index + 1) * BLOCK)),
  );
  const levels: Buffer[] = [];
  while (digests.length > 1) {
    const bytes = Buffer.alloc(Math.ceil(digests.length / 128) * BLOCK);
    for (const [index, digest] of digests.entries()) bytes.set(digest, index * 32);
    levels.unshift(bytes);
    digests = Array.from({ length: bytes.length / BLOCK }, (_, index) =>
      hash(bytes.subarray(index * BLOCK, (index + 1) * BLOCK)),
    );
  }
  return { rootHash: digests[0]!.toString("hex"), tree: Buffer.concat(levels) };
}

function planGuarded(format: "ext4" | "erofs"): Promise<DiskPlan> {
  return planDisk(memoryTree(SPEC), { format, verity: true });
}

describe("createHashTree()", () => {
  it.each([1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1, 20_000])("gives the levels over %d blocks", (count) => {
    const data = Buffer.alloc(count * BLOCK);
    for (let index = 0; index < count; index++) data.writeUInt32LE(index + 1, index * BLOCK);
    const builder = createHashTree(SALT);
    builder.add(data);
    const { rootHash, blocks } = builder.finish();
    const simple = simpleTree(data);
    expect(Buffer.from(rootHash).toString("hex")).toBe(simple.rootHash);
    expect(sha256(Buffer.concat(blocks))).toBe(sha256(simple.tree));
  });

  it("gives the same for data in any pieces, and for zeros that it is told of", () => {
    const data = Buffer.alloc(600 * BLOCK);
    data.fill(7, 5000, 30_000);
    data.fill(9, 450 * BLOCK + 1, 451 * BLOCK - 1);
    const builder = createHashTree(SALT);
    builder.addZeros(5000);
    for (let at = 5000; at < 30_000; at += 777) builder.add(data.subarray(at, Math.min(at + 777, 30_000)));
    builder.addZeros(450 * BLOCK + 1 - 30_000);
    builder.add(data.subarray(450 * BLOCK + 1, 451 * BLOCK - 1));
    builder.addZeros(149 * BLOCK + 1);
    const { rootHash, blocks } = builder.finish();
    const simple = simpleTree(data);
    expect(Buffer.from(rootHash).toString("hex")).toBe(simple.rootHash);
    expect(sha256(Buffer.concat(blocks))).toBe(sha256(simple.tree));
  });
});

describe("planDisk() with verity", () => {
  it.each(["ext4", "erofs"] as const)("appends the tree to %s and changes nothing before it", async (format) => {
    const plain = await planDisk(memoryTree(SPEC), { format });
    const guarded = await planGuarded(format);
    const hashOffset = plain.sizeBytes;
    expect(guarded.verity).toMatchObject({ hashOffset, dataBlocks: hashOffset / BLOCK, algorithm: "sha256" });
    expect(guarded.sizeBytes).toBeGreaterThan(hashOffset + BLOCK);
    expect(sha256(await collect(guarded.read(0, hashOffset)))).toBe(
      sha256(await collect(plain.read(0, plain.sizeBytes))),
    );
  });

  it("gives the same tree the same root hash, and another tree another", async () => {
    const again = await planGuarded("erofs");
    expect((await planGuarded("erofs")).verity).toEqual(again.verity);
    const other = await planDisk(memoryTree([{ path: "f", content: { size: 3_000_000, fill: 6 } }]), {
      format: "erofs",
      verity: true,
    });
    expect(other.verity?.salt).toBe(again.verity?.salt);
    expect(other.verity?.rootHash).not.toBe(again.verity?.rootHash);
  });

  it("tells how far the pass over the data is", async () => {
    const told: [number, number][] = [];
    const { verity } = await planDisk(memoryTree(SPEC), {
      format: "ext4",
      verity: true,
      onProgress: (done, total) => void told.push([done, total]),
    });
    expect(told[0]).toEqual([0, verity?.hashOffset]);
    expect(told.at(-1)).toEqual([verity?.hashOffset, verity?.hashOffset]);
  });

  it("frees the disk that it is made of, also when reading it fails", async () => {
    const tree = handMadeTree([ROOT, { path: "f", size: 9 << 20 }], [new Uint8Array(1 << 20)]);
    await expect(planDisk(tree, { format: "erofs", verity: true })).rejects.toMatchObject({ code: "tree_invalid" });
    const plan = await planDisk(memoryTree(SPEC), { format: "erofs", compression: "lz4", verity: true });
    await plan[Symbol.asyncDispose]();
    await expect(collect(plan.read(0, plan.sizeBytes))).rejects.toThrow();
  });

  it("rejects with the signal's reason in the middle of the pass", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const planning = planDisk(memoryTree(SPEC), {
      format: "ext4",
      verity: true,
      onProgress: (done) => done > 0 && controller.abort(reason),
      signal: controller.signal,
    });
    await expect(planning).rejects.toBe(reason);
  });

  it.each(["cpio", "tar"] as const)("is refused for %s", async (format) => {
    const options = { format, verity: true } as unknown as Parameters<typeof planDisk>[1];
    await expect(planDisk(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });
});

describe("verityKernelArguments()", () => {
  it("gives the table of dm-verity for one device", () => {
    const verity = {
      rootHash: "aa",
      salt: "bb",
      algorithm: "sha256",
      blockBytes: 4096,
      dataBlocks: 10,
      hashOffset: 40_960,
    } as const;
    expect(verityKernelArguments(verity, { device: "/dev/vda" })).toBe(
      'dm-mod.create="root,,,ro,0 80 verity 1 /dev/vda /dev/vda 4096 4096 10 11 sha256 aa bb" root=/dev/dm-0 ro',
    );
  });
});

describe.skipIf(!hasTool("veritysetup"))("veritysetup [skipped without it]", () => {
  it.each(["ext4", "erofs"] as const)("verifies %s, and refuses it with one bit changed", async (format) => {
    const path = join(await temporaryDirectory(), "disk");
    const plan = await planGuarded(format);
    await writeDisk(plan, path);
    const { rootHash, hashOffset } = plan.verity!;
    const args = ["verify", path, path, rootHash, `--hash-offset=${hashOffset}`];
    expect(runTool("veritysetup", args)).toMatchObject({ status: 0 });

    const bytes = Buffer.from(await collect(plan.read(0, plan.sizeBytes)));
    bytes[1_000_000]! ^= 1;
    await writeFile(path, bytes);
    expect(runTool("veritysetup", args).status).not.toBe(0);
  });

  it("makes the same tree with the same salt", async () => {
    const directory = await temporaryDirectory();
    const plan = await planDisk(memoryTree([{ path: "f", content: { size: 70_000_000, fill: 5 } }]), {
      format: "erofs",
      verity: true,
    });
    const { rootHash, hashOffset, salt } = plan.verity!;
    await writeFile(join(directory, "data"), plan.read(0, hashOffset));
    const made = runTool("veritysetup", ["format", "data", "tree", `--salt=${salt}`], { cwd: directory });
    expect(made.output).toContain(rootHash);
  });
});
