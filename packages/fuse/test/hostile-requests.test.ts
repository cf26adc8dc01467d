import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import { PROTOCOL } from "../src/protocol/layout.js";
import { cString, createKernel, encodeRequest, type Kernel, range, xattr } from "./kernel.js";
import { sampleTree } from "./sample-tree.js";

const { errno, opcode } = PROTOCOL;

describe("a responder that is asked nonsense", () => {
  let kernel: Kernel;
  beforeAll(async () => {
    kernel = await createKernel(sampleTree(), { stateName: ".state" });
  });

  it("answers any bytes with nothing or a reply that is whole", () => {
    const codes = fc.oneof(fc.constantFrom(...Object.values(opcode)), fc.integer({ min: 0, max: 0xffffffff }));
    const nodes = fc.oneof(fc.bigInt({ min: 0n, max: 20n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    const bodies = fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(codes, nodes, bodies, (code, node, body) => {
        const reply = kernel.ask({ opcode: code, node, body, unique: 5n });
        if (reply === undefined) return;
        expect(reply.unique).toBe(5n);
        expect(reply.errno === 0 || reply.result.length === 0).toBe(true);
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        kernel.askBytes(Buffer.from(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("answers a request that is cut off with EIO, and is silent to a head that is", () => {
    const whole = encodeRequest({ opcode: "read", node: 2, body: range(0, 4096) });
    expect(kernel.askBytes(whole.subarray(0, 50))?.errno).toBe(errno.EIO);
    expect(kernel.askBytes(whole.subarray(0, 39))).toBeUndefined();
    expect(kernel.ask({ opcode: "read", node: 2, body: Buffer.alloc(19) })?.errno).toBe(errno.EIO);
  });

  it("never answers what has no answer, however wrong it is", () => {
    for (const silent of ["forget", "batchForget", "interrupt"] as const)
      for (let length = 0; length < 24; length++)
        expect(kernel.ask({ opcode: silent, node: 0, body: Buffer.alloc(length, 0xff) })).toBeUndefined();
  });

  it("knows no node but its own", () => {
    for (const node of [0, 2n ** 63n, 2n ** 64n - 1n])
      expect(kernel.ask({ opcode: "readlink", node })?.errno).not.toBe(0);
    expect(kernel.ask({ opcode: "getattr", node: 0, body: Buffer.alloc(16) })?.errno).toBe(errno.ESTALE);
  });

  it("takes no name without its end, with two, or with none", () => {
    for (const body of [Buffer.from("dir"), Buffer.from("dir\0x\0"), cString(""), Buffer.alloc(0)])
      expect(kernel.ask({ opcode: "lookup", body })?.errno).toBe(errno.EINVAL);
    const unended = Buffer.concat([xattr(10), Buffer.from("user.x")]);
    expect(kernel.ask({ opcode: "getxattr", body: unended })?.errno).toBe(errno.EINVAL);
  });

  it("finds no way through a slash or dots in a name", () => {
    for (const name of ["dir/file", "../dir", "./dir", "/", "..."]) {
      const { result } = kernel.ask({ opcode: "lookup", body: cString(name) })!;
      expect(result.readBigUInt64LE(0)).toBe(0n);
    }
  });

  it("gives an empty listing beyond the end, and into no room", () => {
    for (const offset of [1000, 2n ** 63n, 2n ** 64n - 1n])
      expect(kernel.ask({ opcode: "readdir", body: range(offset, 4096) })?.result.length).toBe(0);
    expect(kernel.ask({ opcode: "readdir", body: range(0, 10) })?.result.length).toBe(0);
    expect(kernel.ask({ opcode: "readdirplus", body: range(0, 0xffffffff) })?.errno).toBe(0);
  });
});
