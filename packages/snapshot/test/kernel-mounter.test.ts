import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { createMounter } from "../src/node/index.js";
import { countMounts } from "../src/node/mount-table.js";
import { lowerdirOption, relativeOptions } from "../src/node/overlay-options.js";
import { whyNoMounts } from "./mount-right.js";

const mounter = createMounter();
const itMounts = (await whyNoMounts()) === undefined ? it : it.skip;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lamella mounter-"));
  for (const name of ["a", "b", "target"]) await mkdir(join(directory, name));
  await writeFile(join(directory, "a", "file"), "a");
  await writeFile(join(directory, "b", "other"), "b");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});

const at = (name: string): string => join(directory, name);

describe("createMounter()", () => {
  itMounts("mounts a directory on another one, and unmounts it", async () => {
    const mounts = [{ type: "bind", source: at("a"), options: ["rw", "rbind"] }];
    await mounter.mount(mounts, at("target"));
    expect(await readdir(at("target"))).toEqual(["file"]);
    await writeFile(at("target/new"), "");
    await mounter.unmount(mounts, at("target"));
    expect(await readdir(at("target"))).toEqual([]);
    expect(await readdir(at("a"))).toEqual(["file", "new"]);
  });

  itMounts("makes a read-only mount read-only, without `bind` among its options too", async () => {
    const mounts = [{ type: "bind", source: at("a"), options: ["ro"] }];
    await mounter.mount(mounts, at("target"));
    await expect(writeFile(at("target/new"), "")).rejects.toMatchObject({ code: "EROFS" });
    await mounter.unmount(mounts, at("target"));
  });

  itMounts("takes unmounting what is not mounted, or not even there, for done", async () => {
    const mounts = [{ type: "bind", source: at("a"), options: ["rw"] }];
    await mounter.mount(mounts, at("target"));
    await mounter.unmount(mounts, at("target"));
    await mounter.unmount(mounts, at("target"));
    await mounter.unmount(mounts, at("nothing"));
    expect(await readdir(at("a"))).toEqual(["file"]);
  });

  itMounts("mounts a list in its order, on targets that it makes, and undoes it in the other order", async () => {
    const mounts = [
      { type: "bind", source: at("a"), target: at("lower/1"), options: ["ro"] },
      { type: "bind", source: at("b"), target: at("lower/2"), options: ["ro"] },
      { type: "overlay", source: "overlay", options: ["ro", lowerdirOption([at("lower/2"), at("lower/1")])] },
    ];
    await mounter.mount(mounts, at("target"));
    expect(await readdir(at("target"))).toEqual(["file", "other"]);
    await mounter.unmount(mounts, at("target"));
    expect(await readdir(at("lower/1"))).toEqual([]);
  });

  itMounts("leaves nothing mounted when one of a list cannot be", async () => {
    const mounts = [
      { type: "bind", source: at("a"), target: at("lower/1"), options: ["ro"] },
      { type: "bind", source: at("nothing"), options: ["ro"] },
    ];
    await expect(mounter.mount(mounts, at("target"))).rejects.toMatchObject({
      code: "mount_failed",
      message: expect.stringMatching(/^cannot mount bind on ".*target": .*nothing/),
    });
    expect(await countMounts(at("lower/1"))).toBe(0);
  });

  itMounts("follows a symlink as its target", async () => {
    await symlink("target", at("link"));
    const mounts = [{ type: "bind", source: at("a"), options: ["rw"] }];
    await mounter.mount(mounts, at("link"));
    expect(await readFile(at("target/file"), "utf8")).toBe("a");
    await mounter.unmount(mounts, at("link"));
    expect(await readdir(at("target"))).toEqual([]);
  });

  itMounts("says that a file system is unknown to the kernel", async () => {
    const mounts = [{ type: "nosuchfs", source: at("a"), options: ["ro"] }];
    await expect(mounter.mount(mounts, at("target"))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("this kernel has no nosuchfs"),
    });
  });

  itMounts("does not let go of a file system that is in use", async () => {
    const mounts = [{ type: "bind", source: at("a"), options: ["rw"] }];
    await mounter.mount(mounts, at("target"));
    const inner = [{ type: "bind", source: at("b"), options: ["rw"] }];
    await mkdir(at("target/inner"));
    await mounter.mount(inner, at("target/inner"));
    await expect(mounter.unmount(mounts, at("target"))).rejects.toMatchObject({ code: "mount_failed" });
    await mounter.unmount(inner, at("target/inner"));
    await mounter.unmount(mounts, at("target"));
  });

  it("refuses an option that mount(8) would take apart", async () => {
    const mounts = [{ type: "overlay", source: "overlay", options: ["ro", "lowerdir=/a,suid:/b"] }];
    await expect(mounter.mount(mounts, at("target"))).rejects.toMatchObject({ code: "unsupported" });
  });

  it("says which program is missing", async () => {
    vi.stubEnv("PATH", at("a"));
    const mounts = [{ type: "bind", source: at("a"), options: ["ro"] }];
    await expect(mounter.mount(mounts, at("target"))).rejects.toMatchObject({
      code: "unsupported",
      message: "cannot run mount: it is not installed",
    });
  });

  it("rejects with the signal's reason before it mounts anything", async () => {
    const reason = new Error("no longer wanted");
    const mounts = [{ type: "bind", source: at("a"), options: ["ro"] }];
    const options = { signal: AbortSignal.abort(reason) };
    await expect(mounter.mount(mounts, at("target"), options)).rejects.toBe(reason);
    await expect(mounter.unmount(mounts, at("target"), options)).rejects.toBe(reason);
  });
});

describe("relativeOptions()", () => {
  it("fits 128 layers, wherever they are, into a page", () => {
    const root = `/${"long name/".repeat(30)}snapshots`;
    const lower = Array.from({ length: 128 }, (_, index) => `${root}/${1_000_000 + index}/fs`);
    const { cwd, options } = relativeOptions([
      lowerdirOption(lower),
      `upperdir=${root}/2/fs`,
      `workdir=${root}/2/work`,
    ]);
    expect(cwd).toBe(root);
    expect(options.slice(1)).toEqual(["upperdir=2/fs", "workdir=2/work"]);
    expect(options.join(",").length).toBeLessThan(4096);
  });

  it("leaves other options as they are", () => {
    expect(relativeOptions(["ro", "index=off"])).toEqual({ cwd: "/", options: ["ro", "index=off"] });
  });

  it("names the same directories, whatever their names", () => {
    const name = fc.string({ minLength: 1 }).filter((text) => !/[/\0]|^\.{1,2}$/.test(text));
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), name, (names, root) => {
        const { cwd, options } = relativeOptions([lowerdirOption(names.map((one) => `/${root}/x/${one}/fs`))]);
        const whole = relativeOptions([lowerdirOption(names.map((one) => `${cwd}/${one}/fs`))]);
        if (new Set(names).size > 1) expect(cwd).toBe(`/${root}/x`);
        expect(whole.options).toEqual(new Set(names).size > 1 ? options : whole.options);
      }),
    );
  });
});
