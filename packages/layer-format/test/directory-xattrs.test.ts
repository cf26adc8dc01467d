import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { openDirectoryTree } from "../src/node/directory/directory-tree.js";
import { unpackTree } from "../src/node/unpack/unpack-tree.js";
import { memoryTree } from "../src/testing.js";
import { entriesOf } from "./tree-listing.js";

const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const ACL = Buffer.from(
  "0200000001000700ffffffff020005000500000004000500ffffffff10000700ffffffff20000500ffffffff",
  "hex",
);

describe("openDirectoryTree() with xattrs", () => {
  let root = "";

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "directory-xattrs-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  async function xattrsOf(path: string): Promise<Record<string, string>> {
    await using tree = await openDirectoryTree(join(root, "out"), { xattrs: true });
    const entry = await tree.lookup(path);
    return Object.fromEntries(
      [...(entry?.xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString("latin1")]),
    );
  }

  it("has them of every kind, of names and values of any bytes, of the root too", async () => {
    const odd = "=\\ \n\t\"\r\xff%3D\x01'# file: x";
    const xattrs = { "user.a": "", "user.=b\n\\\xff": "\0\n=\xff", "user.c": "x".repeat(2000) };
    const tree = memoryTree([
      { path: "", kind: "directory", xattrs: { "user.root": "1" }, ...own },
      {
        path: odd,
        xattrs: Object.fromEntries(Object.entries(xattrs).map(([k, v]) => [k, Buffer.from(v, "latin1")])),
        ...own,
      },
      { path: "d", kind: "directory", mode: 0o775, xattrs: { "system.posix_acl_access": ACL }, ...own },
      { path: "d/link", hardlinkTo: odd },
      { path: "none", ...own },
    ]);
    await unpackTree(tree, join(root, "out"));
    expect(await xattrsOf("")).toEqual({ "user.root": "1" });
    expect(await xattrsOf(odd)).toEqual(xattrs);
    expect(await xattrsOf("d/link")).toEqual(xattrs);
    expect(await xattrsOf("d")).toEqual({ "system.posix_acl_access": ACL.toString("latin1") });
    expect(await xattrsOf("none")).toEqual({});
  });

  it("has none unless asked to", async () => {
    await unpackTree(memoryTree([{ path: "a", xattrs: { "user.a": "1" }, ...own }]), join(root, "out"));
    await using tree = await openDirectoryTree(join(root, "out"));
    expect((await entriesOf(tree)).every(({ xattrs }) => xattrs.size === 0)).toBe(true);
  });

  it.runIf(process.getuid?.() === 0)(
    "has those that only root may see, file capabilities and a symlink's too",
    async () => {
      const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
      const spec = [
        { path: "f", xattrs: { "security.capability": capability, "trusted.t": "1" } },
        { path: "l", linkTarget: "f", xattrs: { "trusted.l": "2" } },
      ];
      await unpackTree(memoryTree(spec), join(root, "out"));
      expect(await xattrsOf("f")).toEqual({ "security.capability": capability.toString("latin1"), "trusted.t": "1" });
      expect(await xattrsOf("l")).toEqual({ "trusted.l": "2" });
    },
  );

  it("does not follow symlinks out of the directory", async () => {
    mkdirSync(join(root, "outside"));
    writeFileSync(join(root, "outside/x"), "");
    execFileSync("setfattr", ["-n", "user.x", "-v", "1", join(root, "outside/x")]);
    await unpackTree(memoryTree([{ path: "l", linkTarget: "../outside" }]), join(root, "out"), { asRoot: false });
    await using tree = await openDirectoryTree(join(root, "out"), { xattrs: true });
    expect((await entriesOf(tree)).map(({ path }) => path)).toEqual(["", "l"]);
  });

  it("names the program that is missing", async () => {
    vi.stubEnv("PATH", root);
    try {
      await expect(openDirectoryTree(root, { xattrs: true })).rejects.toMatchObject({
        code: "tool_missing",
        message: "cannot run getfattr: it is not installed (package attr)",
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("has the program's words where it fails", async () => {
    writeFileSync(join(root, "getfattr"), "#!/bin/sh\necho 'getfattr: a: Permission denied' >&2\nexit 1\n", {
      mode: 0o755,
    });
    vi.stubEnv("PATH", `${root}:${process.env["PATH"]}`);
    try {
      await expect(openDirectoryTree(root, { xattrs: true })).rejects.toMatchObject({
        code: "tool_failed",
        message: `cannot read the extended attributes of ${JSON.stringify(root)}: getfattr: a: Permission denied`,
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("rejects with a signal's reason, also while the program runs", async () => {
    writeFileSync(join(root, "getfattr"), "#!/bin/sh\nexec sleep 60\n", { mode: 0o755 });
    vi.stubEnv("PATH", `${root}:${process.env["PATH"]}`);
    try {
      const reason = new Error("enough");
      const controller = new AbortController();
      const opening = openDirectoryTree(root, { xattrs: true, signal: controller.signal });
      setTimeout(() => controller.abort(reason), 100);
      await expect(opening).rejects.toBe(reason);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
