import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { memoryLayer } from "@lamella/layer-format/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { mountLayers, mountTree } from "../src/index.js";
import { listedTree, sampleTree } from "./sample-tree.js";

/** What it mounts is looked at in tools/e2e. */
describe("mountTree()", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lamella-fuse-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("mounts on nothing but a directory that is there", async () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    await expect(mountTree(sampleTree(), file)).rejects.toMatchObject({
      code: "mount_failed",
      message: expect.stringContaining("not a directory") as string,
    });
    await expect(mountTree(sampleTree(), join(directory, "none"))).rejects.toMatchObject({ code: "mount_failed" });
  });

  it("refuses a tree that breaks its rules before anything is mounted", async () => {
    await expect(mountTree(listedTree([{ path: "a" }]), directory)).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(mountTree(sampleTree(), directory, { signal })).rejects.toBe(signal.reason);
    await expect(mountLayers([memoryLayer([])], directory, { signal })).rejects.toBe(signal.reason);
  });
});
