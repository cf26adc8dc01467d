import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listTarsWithGo, listTarWithGnu, missing } from "../src/index.js";
import { sh } from "./sample-tree.js";

const reason = missing(["go", "tar"]);
const DAY = 1_500_000_000;

describe.skipIf(reason !== undefined)(`listing a tar (${reason ?? "with Go and GNU tar"})`, () => {
  let work = "";

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-list-tar-"));
    await sh(
      work,
      `mkdir tree; printf abc > tree/file; ln -s file "tree/a link"; mkfifo tree/fifo; chmod 4750 tree/file
       find tree -exec touch -h -d @${DAY}.25 {} +; tar --format=pax --sort=name --owner=12 --group=34 -cf good.tar tree
       cp good.tar bad.tar; printf X | dd of=bad.tar bs=1 seek=1030 conv=notrunc status=none`,
    );
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it("gives every entry with its attributes and content, by Go", async () => {
    const [listing] = await listTarsWithGo([join(work, "good.tar")]);
    expect(listing?.error).toBeUndefined();
    expect(listing?.entries.map(({ clean, type }) => [clean, type])).toEqual([
      ["tree", "5"],
      ["tree/a link", "2"],
      ["tree/fifo", "6"],
      ["tree/file", "0"],
    ]);
    expect(listing?.entries[3]).toMatchObject({
      mode: 0o4750,
      uid: 12,
      gid: 34,
      seconds: DAY,
      nanoseconds: 250_000_000,
    });
    expect(listing?.entries[3]?.sha256).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  it("gives every entry with its attributes, by GNU tar", async () => {
    const { entries, sha256, complaint } = await listTarWithGnu(join(work, "good.tar"));
    expect(complaint).toBe("");
    expect(entries.map(({ name, type, linkTarget }) => [name, type, linkTarget])).toEqual([
      ["tree/", "d", ""],
      ["tree/a link", "l", "file"],
      ["tree/fifo", "p", ""],
      ["tree/file", "-", ""],
    ]);
    expect(entries[3]).toMatchObject({ mode: 0o4750, uid: 12, gid: 34, size: "3", time: "2017-07-14 02:40:00.25" });
    expect(sha256).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  it("says that a header is damaged", async () => {
    const path = join(work, "bad.tar");
    const [listing] = await listTarsWithGo([path]);
    expect(listing?.error).toMatch(/invalid tar header/);
    expect((await listTarWithGnu(path)).complaint).not.toBe("");
  });

  it("rejects with the reason of its signal", async () => {
    const path = join(work, "good.tar");
    const signal = AbortSignal.abort(new Error("no more"));
    await expect(listTarsWithGo([path], { signal })).rejects.toThrow("no more");
    await expect(listTarWithGnu(path, { signal })).rejects.toThrow("no more");
  });
});
