import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import { packLayer } from "@lamella/layer-format/node";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { planTar } from "../src/tar/plan.js";
import { collect, sha256 } from "./bytes.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

async function makeTar(spec: MemoryTreeSpec): Promise<Uint8Array> {
  const plan = await planTar(memoryTree(spec));
  return collect(plan.read(0, plan.sizeBytes));
}

/** A tar has six octal digits for each number of a device, and no way to write `=` in the name of an xattr. */
function asTarHolds(node: MemoryTreeSpec[number]): MemoryTreeSpec[number] {
  if ("hardlinkTo" in node) return node;
  const xattrs = Object.entries(node.xattrs ?? {}).map(([name, value]) => [name.replaceAll("=", "-"), value] as const);
  const device = node.device && { major: node.device.major, minor: node.device.minor & 0o777777 };
  return { ...node, xattrs: Object.fromEntries(xattrs), ...(device && { device }) };
}

describe("planTar()", () => {
  it("gives the bytes that a layer of the same tree has", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (described) => {
        const spec = described.map(asTarHolds);
        const parts: Uint8Array[] = [];
        const output = { write: async (bytes: Uint8Array) => void parts.push(new Uint8Array(bytes)) };
        const { omittedSockets } = await packLayer(memoryTree(spec), output, { compression: "none" });
        const plan = await planTar(memoryTree(spec));
        expect(plan.sizeBytes).toBe(parts.reduce((sum, { length }) => sum + length, 0));
        expect(sha256(await collect(plan.read(0, plan.sizeBytes)))).toBe(sha256(Buffer.concat(parts)));
        expect(plan.losses.find(({ what }) => what === "sockets")?.count ?? 0).toBe(omittedSockets);
      }),
      { numRuns: 60 },
    );
  });

  it("gives any range by itself", async () => {
    const spec = [{ path: "a", content: { size: 5000, fill: 3 } }, { path: "b", hardlinkTo: "a" }, { path: "c" }];
    const whole = Buffer.from(await makeTar(spec));
    const plan = await planTar(memoryTree(spec));
    for (const [offset, length] of [
      [0, 1],
      [500, 600],
      [1500, 4000],
      [whole.length - 1, 1],
    ] as const)
      expect(Buffer.from(await collect(plan.read(offset, length)))).toEqual(whole.subarray(offset, offset + length));
  });

  it("leaves sockets out, as a loss", async () => {
    const { losses } = await planTar(memoryTree([{ path: "run/s", kind: "socket" }]));
    expect(losses).toEqual([{ what: "sockets", count: 1, paths: ["run/s"] }]);
  });

  it("refuses a name that would be read as a whiteout", async () => {
    await expect(planTar(memoryTree([{ path: "a/.wh.b" }]))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("whiteout") as string,
    });
  });

  it("refuses a tree that has no order", async () => {
    await expect(planTar(handMadeTree([ROOT, { path: "a/b" }]))).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(planTar(memoryTree([]), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it.skipIf(!hasTool("tar"))("is what tar unpacks, holes and hard links too [skipped without tar]", async () => {
    const directory = await temporaryDirectory();
    const extents = [{ offset: 100_000, length: 1000 }];
    const spec = [
      { path: "d/sparse", content: { size: 300_000, fill: 9 }, extents },
      { path: "d/text", content: "hello" },
      { path: "d/text too", hardlinkTo: "d/text" },
    ];
    await writeFile(join(directory, "a.tar"), await makeTar(spec));
    await mkdir(join(directory, "out"));
    expect(runTool("tar", ["-xf", "../a.tar"], { cwd: join(directory, "out") })).toMatchObject({ status: 0 });
    expect(await readFile(join(directory, "out/d/text too"), "utf8")).toBe("hello");
    const tree = memoryTree(spec);
    const sparse = await tree.lookup("d/sparse");
    expect(sha256(await readFile(join(directory, "out/d/sparse")))).toBe(sha256(await collect(tree.read(sparse!))));
  });
});
