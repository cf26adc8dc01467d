import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { createEmptyExt4Disk } from "../src/ext4/empty-disk.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

describe("createEmptyExt4Disk()", () => {
  it("makes a disk of the size asked for, which takes next to no room", async () => {
    const path = join(await temporaryDirectory(), "data.ext4");
    expect(await createEmptyExt4Disk(path, 10 * 2 ** 30)).toEqual({ sizeBytes: 10 * 2 ** 30 });
    const { size, blocks } = await stat(path);
    expect(size).toBe(10 * 2 ** 30);
    expect(blocks * 512).toBeLessThan(8 << 20);
  });

  it.skipIf(!hasTool("e2fsck"))("makes one that e2fsck finds no fault with [skipped without it]", async () => {
    const path = join(await temporaryDirectory(), "data.ext4");
    await createEmptyExt4Disk(path, 64 << 20, { label: "data", uuid: "00000000-0000-4000-8000-000000000001" });
    expect(runTool("e2fsck", ["-fn", path])).toMatchObject({ status: 0 });
    expect(runTool("dumpe2fs", ["-h", path]).output).toMatch(
      /volume name: +data\n[^]*UUID: +00000000-0000-4000-8000-000000000001\n/,
    );
  });

  it("leaves nothing where the size is too small, and when it is aborted", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "data.ext4");
    await expect(createEmptyExt4Disk(path, 4096)).rejects.toMatchObject({ code: "size_too_small" });
    const reason = new Error("enough");
    await expect(createEmptyExt4Disk(path, 64 << 20, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });
});
