import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { dumpe2fs, e2fsck, fsckErofs } from "../src/fsck.js";
import { newerErofs } from "../src/newer-erofs.js";
import { missing } from "../src/requirements.js";
import { makeSampleTree, sh } from "./sample-tree.js";
import { withScratch } from "./scratch.js";

const lackingExt4 = missing(["e2fsck", "mkfs.ext4", "debugfs", "setfattr"]);
const lackingErofs = missing(["fsck.erofs", "mkfs.erofs", "setfattr"]);

async function withImage<T>(make: string, use: (image: string) => Promise<T>): Promise<T> {
  return withScratch(async (scratch) => {
    await mkdir(join(scratch, "tree"));
    await makeSampleTree(join(scratch, "tree"));
    await sh(scratch, `PATH=$PATH:/usr/sbin:/sbin; ${make}`);
    return use(join(scratch, "image"));
  });
}

async function flipBit(image: string, offset: number): Promise<void> {
  const file = await open(image, "r+");
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte[0] = byte[0]! ^ 1;
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}

/** Where an inode is, in bytes, by what debugfs says of a path. */
async function inodeOffset(image: string, path: string): Promise<number> {
  const said = await sh("/", `PATH=$PATH:/usr/sbin:/sbin; debugfs -R 'imap ${path}' '${image}'`);
  const [, block, offset] = /at block (\d+), offset (0x[0-9a-f]+)/.exec(said)!;
  return Number(block) * 4096 + Number(offset);
}

describe.skipIf(lackingExt4 !== undefined)(`e2fsck() ${lackingExt4 ?? ""}`, () => {
  const make = "truncate -s 16M image; mkfs.ext4 -q -b 4096 -d tree image";

  it("finds a good image clean", () =>
    withImage(make, async (image) => expect(await e2fsck(image)).toMatchObject({ clean: true, exitCode: 0 })));

  it.each([
    ["the owner in an inode", "/program", 2],
    ["the time in an inode", "/etc", 16],
    ["a block pointer", "/etc/deep/large", 60],
  ])("rejects a flipped bit in %s", (_, path, offset) =>
    withImage(make, async (image) => {
      await flipBit(image, (await inodeOffset(image, path)) + offset);
      expect(await e2fsck(image)).toMatchObject({ clean: false });
    }),
  );

  it("rejects an image that is cut off", () =>
    withImage(make, async (image) => {
      await sh("/", `truncate -s 8M '${image}'`);
      expect(await e2fsck(image)).toMatchObject({ clean: false });
    }));

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(e2fsck("/nowhere", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("dumpe2fs() reads the superblock, and rejects what has none", () =>
    withImage(make, async (image) => {
      expect((await dumpe2fs(image)).get("Block count")).toBe("4096");
      await expect(dumpe2fs("/dev/null")).rejects.toMatchObject({ code: "tool_failed" });
    }));
});

describe.skipIf(lackingErofs !== undefined)(`fsckErofs() ${lackingErofs ?? ""}`, () => {
  it.each([
    ["plain", ""],
    ["compressed", "-zlz4"],
  ])("finds a good %s image clean", (_, option) =>
    withImage(`mkfs.erofs --quiet ${option} image tree`, async (image) => {
      expect(await fsckErofs(image)).toMatchObject({ clean: true, exitCode: 0 });
    }),
  );

  it.skipIf(missing(["root", "debootstrap"]) !== undefined)(
    "tells a good image from a broken one with newer tools too",
    () =>
      withImage("mkfs.erofs --quiet -zlz4 image tree", async (image) => {
        const tools = await newerErofs();
        expect(await fsckErofs(image, { tools })).toMatchObject({ clean: true, exitCode: 0 });
        await flipBit(image, 1024 + 16);
        expect(await fsckErofs(image, { tools })).toMatchObject({ clean: false });
      }),
  );

  it("rejects a flipped bit in the superblock", () =>
    withImage("mkfs.erofs --quiet image tree", async (image) => {
      await flipBit(image, 1024 + 16);
      expect(await fsckErofs(image)).toMatchObject({ clean: false });
    }));

  it("rejects an image that is cut off", () =>
    withImage("mkfs.erofs --quiet image tree; truncate -s 64K image", async (image) => {
      expect(await fsckErofs(image)).toMatchObject({ clean: false });
    }));
});
