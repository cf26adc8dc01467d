import { memoryTree } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { PROTOCOL } from "../src/protocol/layout.js";
import { cString, createKernel, init, parseDirents, range, xattr } from "./kernel.js";
import { listedTree, sampleTree } from "./sample-tree.js";

const { errno, flag } = PROTOCOL;

describe("createResponder()", () => {
  it("says in INIT what it can do, in the kernel's version or its own", async () => {
    const kernel = await createKernel(sampleTree());
    for (const [theirs, ours] of [
      [38, 38],
      [99, 41],
    ] as const) {
      const { result, errno: failed } = kernel.ask({ opcode: "init", body: init(7, theirs) })!;
      expect(failed).toBe(0);
      expect([result.length, result.readUInt32LE(0), result.readUInt32LE(4)]).toEqual([64, 7, ours]);
      expect(result.readUInt32LE(8)).toBe(131_072);
      expect(result.readUInt32LE(12)).toBe(0x1c6_6011);
      expect(result.readUInt16LE(28)).toBe(256);
    }
  });

  it("asks for no more than the kernel has", async () => {
    const kernel = await createKernel(sampleTree());
    const { result } = kernel.ask({ opcode: "init", body: init(7, 38, flag.asyncRead) })!;
    expect(result.readUInt32LE(12)).toBe(flag.asyncRead);
  });

  it("has the kernel heed access control lists where there are any", async () => {
    const kernel = await createKernel(memoryTree([{ path: "a", xattrs: { "system.posix_acl_access": "x" } }]));
    const { result } = kernel.ask({ opcode: "init", body: init(7, 38) })!;
    expect(result.readUInt32LE(12) & flag.posixAcl).not.toBe(0);
  });

  it("refuses an old kernel, and tells a later one its version", async () => {
    const kernel = await createKernel(sampleTree());
    expect(kernel.ask({ opcode: "init", body: init(7, 27) })?.errno).toBe(errno.EPROTO);
    expect(kernel.ask({ opcode: "init", body: init(6, 40) })?.errno).toBe(errno.EPROTO);
    const { result } = kernel.ask({ opcode: "init", body: init(8, 0) })!;
    expect([result.readUInt32LE(0), result.readUInt32LE(4)]).toEqual([7, 41]);
  });

  it("tells all attributes of all kinds", async () => {
    const kernel = await createKernel(sampleTree());
    const of = (path: string) => kernel.find(path)?.attributes;
    expect(of("")).toMatchObject({ mode: 0o041_777, uid: 7, gid: 8, links: 3, seconds: 1_700_000_000n, ino: 1 });
    expect(of("dir")).toMatchObject({ mode: 0o040_755, links: 3, size: 0 });
    expect(of("dir/file")).toMatchObject({
      mode: 0o104_755,
      uid: 1000,
      gid: 0xfffffffe,
      size: 12,
      blocks: 1,
      links: 1,
    });
    expect(of("dir/sub")).toMatchObject({ mode: 0o042_750, links: 2 });
    expect(of("dir.after")).toMatchObject({ seconds: -5n, nanoseconds: 7 });
    expect(of("link")).toMatchObject({ mode: 0o120_777, size: 11, seconds: 2n ** 33n });
    expect(of("null")).toMatchObject({ mode: 0o020_644, rdev: 0 });
    expect(of("disk")).toMatchObject({ mode: 0o060_644, rdev: 0xffffffff });
    expect(of("pipe")).toMatchObject({ mode: 0o010_644 });
    expect(of("socket")).toMatchObject({ mode: 0o140_644 });
    expect(of("huge")).toMatchObject({ size: 5 * 2 ** 30 + 3, blocks: 2 });
    expect(of("name")).toMatchObject({ links: 2 });
    expect(of("other name")).toEqual(of("name"));
  });

  it("finds names that are no text, and has the kernel remember those that are not there", async () => {
    const kernel = await createKernel(sampleTree());
    expect(kernel.find("dir/sub/\xff\xfe")?.attributes.size).toBe(8);
    expect(kernel.find("dir/sub/\xc3\xbc\n")?.attributes.size).toBe(0);
    const { errno: failed, result } = kernel.ask({ opcode: "lookup", body: cString("nothing") })!;
    expect([failed, result.readBigUInt64LE(0), result.readBigUInt64LE(16) > 1000n]).toEqual([0, 0n, true]);
  });

  it("finds . and .. by a node alone, as file handles need it", async () => {
    const kernel = await createKernel(sampleTree());
    const [dir, sub, file] = ["dir", "dir/sub", "dir/file"].map((path) => kernel.find(path)!.node);
    const lookup = (node: number, name: string) =>
      Number(kernel.ask({ opcode: "lookup", node, body: cString(name) })?.result.readBigUInt64LE(0));
    expect(lookup(sub!, "..")).toBe(dir);
    expect(lookup(1, "..")).toBe(1);
    expect(lookup(file!, ".")).toBe(file);
  });

  it("reads links byte by byte, and nothing else as one", async () => {
    const kernel = await createKernel(sampleTree());
    const { node } = kernel.find("link")!;
    expect(kernel.ask({ opcode: "readlink", node })?.result.toString("latin1")).toBe("dir/\xfftarget");
    expect(kernel.ask({ opcode: "readlink", node: 1 })?.errno).toBe(errno.EINVAL);
    const linkTarget = "x".repeat(4096);
    const long = await createKernel(listedTree([{ path: "" }, { path: "l", kind: "symlink", linkTarget, size: 4096 }]));
    expect(long.ask({ opcode: "readlink", node: 2 })?.errno).toBe(errno.ENAMETOOLONG);
  });

  it("hands reads over with what is there to be read", async () => {
    const kernel = await createKernel(sampleTree());
    const { node } = kernel.find("huge")!;
    expect(kernel.ask({ opcode: "read", node, body: range(5 * 2 ** 30, 4096), unique: 77n })).toBeUndefined();
    expect(kernel.calls).toEqual([
      { kind: "read", unique: 77n, node: node - 1, offset: 5 * 2 ** 30, size: 3, pid: 4711 },
    ]);
    expect(kernel.ask({ opcode: "read", node, body: range(2n ** 63n, 4096) })?.result.length).toBe(0);
    expect(kernel.ask({ opcode: "read", node: 1, body: range(0, 1) })?.errno).toBe(errno.EISDIR);
    expect(kernel.ask({ opcode: "read", node: kernel.find("pipe")!.node, body: range(0, 1) })?.errno).toBe(
      errno.EINVAL,
    );
    expect(kernel.ask({ opcode: "read", node, body: range(0, 0xffffffff) })).toBeUndefined();
    expect(kernel.calls.at(-1)).toMatchObject({ size: 1 << 20 });
  });

  it("hands over what interrupts a read", async () => {
    const kernel = await createKernel(sampleTree());
    const body = Buffer.alloc(8);
    body.writeBigUInt64LE(77n);
    expect(kernel.ask({ opcode: "interrupt", node: 0, body })).toBeUndefined();
    expect(kernel.calls).toEqual([{ kind: "interrupt", unique: 77n }]);
  });

  it("gives xattrs, says how long they are, and refuses what they do not fit into", async () => {
    const kernel = await createKernel(sampleTree());
    const { node } = kernel.find("dir")!;
    const get = (size: number, name: string) => kernel.ask({ opcode: "getxattr", node, body: xattr(size, name) })!;
    expect(get(100, "user.note").result.toString()).toBe("of a directory");
    expect(get(14, "user.note").result.toString()).toBe("of a directory");
    expect(get(0, "user.note").result.readUInt32LE(0)).toBe(14);
    expect(get(13, "user.note").errno).toBe(errno.ERANGE);
    expect(get(100, "user.not").errno).toBe(errno.ENODATA);
    const list = (size: number, uid = 0) => kernel.ask({ opcode: "listxattr", node, uid, body: xattr(size) })!;
    expect(list(100).result.toString()).toBe("trusted.overlay.opaque\0user.note\0");
    expect(list(0).result.readUInt32LE(0)).toBe(33);
    expect(list(33).errno).toBe(0);
    expect(list(32).errno).toBe(errno.ERANGE);
    expect(list(100, 1000).result.toString()).toBe("user.note\0");
    expect(list(0, 1000).result.readUInt32LE(0)).toBe(10);
  });

  it("lists no trusted xattrs in a user namespace, where nobody can read them", async () => {
    const kernel = await createKernel(sampleTree(), { hidesTrustedFrom: "all" });
    const { node } = kernel.find("dir")!;
    expect(kernel.ask({ opcode: "listxattr", node, body: xattr(100) })?.result.toString()).toBe("user.note\0");
  });

  it("gives values as large as the kernel takes them", async () => {
    const value = new Uint8Array(65_536).fill(3);
    const kernel = await createKernel(memoryTree([{ path: "a", xattrs: { "user.large": value } }]));
    const { result } = kernel.ask({ opcode: "getxattr", node: 2, body: xattr(65_536, "user.large") })!;
    expect(result.equals(value)).toBe(true);
  });

  it("lists a directory whole, whatever the sizes in which it is asked for", async () => {
    const names = fc.uniqueArray(
      fc.string({
        unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
        minLength: 1,
        maxLength: 40,
      }),
      { maxLength: 60 },
    );
    const sizes = fc.array(fc.integer({ min: 300, max: 3000 }), { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(names, sizes, fc.boolean(), async (all, asked, withEntries) => {
        const wanted = all.filter((name) => !name.includes("/") && name !== "." && name !== "..").toSorted();
        const kernel = await createKernel(memoryTree(wanted.map((path) => ({ path }))));
        const opcode = withEntries ? "readdirplus" : "readdir";
        const seen: string[] = [];
        let offset = 0n;
        for (let round = 0; ; round++) {
          const size = asked[round % asked.length]!;
          const { result } = kernel.ask({ opcode, body: range(offset, size) })!;
          expect(result.length).toBeLessThanOrEqual(size);
          const dirents = parseDirents(result, withEntries);
          if (dirents.length === 0) break;
          for (const { name, ino, node } of dirents) {
            const isDot = name === "." || name === "..";
            expect(ino).toBe(isDot ? 1 : kernel.find(name)!.attributes.ino);
            if (withEntries) expect(node).toBe(isDot ? 0 : ino);
            seen.push(name);
          }
          offset = dirents.at(-1)!.next;
        }
        expect(seen).toEqual([".", "..", ...wanted]);
      }),
      { numRuns: 60 },
    );
  });

  it("says the types of what it lists, and where .. is", async () => {
    const kernel = await createKernel(sampleTree());
    const { result } = kernel.ask({ opcode: "readdir", node: kernel.find("dir")!.node, body: range(0, 4096) })!;
    expect(parseDirents(result, false).map(({ name, type }) => [name, type])).toEqual([
      [".", 4],
      ["..", 4],
      ["file", 8],
      ["sub", 4],
    ]);
    expect(parseDirents(result, false)[1]?.ino).toBe(1);
    const notDirectory = kernel.ask({ opcode: "readdir", node: kernel.find("name")!.node, body: range(0, 4096) });
    expect(notDirectory?.errno).toBe(errno.ENOTDIR);
  });

  it("says how much there is in all", async () => {
    const kernel = await createKernel(sampleTree());
    const { result } = kernel.ask({ opcode: "statfs" })!;
    expect(result.length).toBe(80);
    expect(Number(result.readBigUInt64LE(0)) * 4096).toBeGreaterThan(5 * 2 ** 30);
    expect([result.readBigUInt64LE(8), result.readBigUInt64LE(24)]).toEqual([0n, 14n]);
  });

  it("has the kernel stop asking for what says nothing, and refuses every change", async () => {
    const kernel = await createKernel(sampleTree());
    for (const opcode of ["open", "opendir", "flush"] as const)
      expect(kernel.ask({ opcode, body: Buffer.alloc(24) })?.errno).toBe(errno.ENOSYS);
    for (const opcode of PROTOCOL.changes) expect(kernel.ask({ opcode, body: cString("x") })?.errno).toBe(errno.EROFS);
    expect(kernel.ask({ opcode: "destroy", node: 0 })?.errno).toBe(0);
  });

  it("hands over what concerns the state file, which no listing has", async () => {
    const kernel = await createKernel(sampleTree(), { stateName: ".state" });
    expect(kernel.ask({ opcode: "lookup", body: cString(".state"), unique: 9n })).toBeUndefined();
    const state = 14 + 1;
    expect(kernel.ask({ opcode: "getattr", node: state, body: Buffer.alloc(16), unique: 10n })).toBeUndefined();
    expect(kernel.ask({ opcode: "read", node: state, body: range(5, 4096), unique: 11n })).toBeUndefined();
    const once = Buffer.alloc(8);
    once.writeBigUInt64LE(1n);
    expect(kernel.ask({ opcode: "forget", node: state, body: once })).toBeUndefined();
    const batch = Buffer.alloc(8 + 32);
    batch.writeUInt32LE(2, 0);
    batch.writeBigUInt64LE(1n, 8);
    batch.writeBigUInt64LE(BigInt(state), 24);
    batch.writeBigUInt64LE(3n, 32);
    expect(kernel.ask({ opcode: "batchForget", node: 0, body: batch })).toBeUndefined();
    expect(kernel.calls).toEqual([
      { kind: "state", unique: 9n, node: 0 },
      { kind: "attributes", unique: 10n, node: 14 },
      { kind: "read", unique: 11n, node: 14, offset: 5, size: 4096, pid: 4711 },
      { kind: "forget", node: 14, lookups: 1 },
      { kind: "forget", node: 14, lookups: 3 },
    ]);
    expect(kernel.ask({ opcode: "listxattr", node: state, body: xattr(10) })?.result.length).toBe(0);
    expect(kernel.ask({ opcode: "lookup", node: state, body: cString("x") })?.errno).toBe(errno.ENOTDIR);
    const { result } = kernel.ask({ opcode: "readdir", body: range(0, 65_536) })!;
    expect(parseDirents(result, false).some(({ name }) => name === ".state")).toBe(false);
    const other = await createKernel(memoryTree([{ path: ".state", content: "its own" }]), { stateName: ".state" });
    expect(other.find(".state")?.attributes.size).toBe(7);
  });
});
