import { byteString } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import { digestOf } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { baseKey, copyOpKey, deriveKey, runOpKey, snapshotOpKey } from "../src/cache-key.js";
import { digestFields } from "../src/framed-digest.js";
import type { Field } from "../src/framed-digest.js";

const ONE = digestOf(Uint8Array.of(1));
const TWO = digestOf(Uint8Array.of(2));

describe("digestFields()", () => {
  it("gives lists of fields that differ different digests, however they are cut", () => {
    const field: fc.Arbitrary<Field> = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.nat(20),
      fc.boolean(),
      fc.constant(undefined),
      fc.uint8Array({ maxLength: 3 }),
      fc.array(fc.string({ maxLength: 2 }), { maxLength: 3 }),
    );
    const fields = fc.array(field, { maxLength: 4 });
    fc.assert(
      fc.property(fields, fields, (left, right) => {
        const same = canonical(left) === canonical(right);
        expect(digestFields("test", ...left) === digestFields("test", ...right)).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });

  it("tells apart what a plain concatenation would not", () => {
    const alike: Field[][] = [
      ["ab", "c"],
      ["a", "bc"],
      ["abc"],
      [["ab", "c"]],
      [["ab"], "c"],
      ["abc", ""],
      ["abc", undefined],
    ];
    expect(new Set(alike.map((fields) => digestFields("test", ...fields))).size).toBe(alike.length);
    expect(digestFields("one", "x")).not.toBe(digestFields("two", "x"));
    expect(digestFields("test", "1")).not.toBe(digestFields("test", 1));
  });

  it("never changes", () => {
    expect(digestFields("lamella", "text", 7, true, undefined, Uint8Array.of(255), ["a", []])).toBe(VECTOR);
  });
});

describe("keys of operations", () => {
  const base = { digest: ONE, platform: { os: "linux", architecture: "amd64" } };
  const run = { command: ["sh", "-c", "true"], env: { A: "1", B: "2" }, workDir: "/src", user: "0:0" };
  const copy = { sources: [{ path: "a", digest: ONE }], destination: "/b", owner: "1:1", mode: 0o644 };

  it("baseKey() depends on digest, architecture and variant", () => {
    expectAllDifferent([
      baseKey(base),
      baseKey({ ...base, digest: TWO }),
      baseKey({ ...base, platform: { os: "linux", architecture: "arm64" } }),
      baseKey({ ...base, platform: { os: "linux", architecture: "arm", variant: "v6" } }),
      baseKey({ ...base, platform: { os: "linux", architecture: "arm", variant: "v7" } }),
    ]);
  });

  it("deriveKey() depends on both keys and on their order", () => {
    expectAllDifferent([deriveKey(ONE, TWO), deriveKey(TWO, ONE), deriveKey(ONE, ONE), ONE, TWO]);
  });

  it("runOpKey() depends on every field, but not on the order of the environment", () => {
    expectAllDifferent([
      runOpKey(run),
      runOpKey({ ...run, command: ["sh", "-c true"] }),
      runOpKey({ ...run, env: { A: "1" } }),
      runOpKey({ ...run, env: { A: "12", B: "" } }),
      runOpKey({ ...run, workDir: "/" }),
      runOpKey({ ...run, workDir: undefined }),
      runOpKey({ ...run, user: "1000" }),
      runOpKey({ ...run, user: undefined }),
      runOpKey({ ...run, inputs: { cache: ONE } }),
      runOpKey({ ...run, inputs: { cache: TWO } }),
    ]);
    expect(runOpKey({ ...run, env: { B: "2", A: "1" } })).toBe(runOpKey(run));
  });

  it("copyOpKey() depends on every field and on the order of the sources", () => {
    const [source] = copy.sources;
    const other = { path: "c", digest: TWO };
    expectAllDifferent([
      copyOpKey(copy),
      copyOpKey({ ...copy, sources: [{ path: "a", digest: TWO }] }),
      copyOpKey({ ...copy, sources: [{ path: "c", digest: ONE }] }),
      copyOpKey({ ...copy, sources: [source!, other] }),
      copyOpKey({ ...copy, sources: [other, source!] }),
      copyOpKey({ ...copy, destination: "/b/" }),
      copyOpKey({ ...copy, owner: undefined }),
      copyOpKey({ ...copy, mode: 0o600 }),
      copyOpKey({ ...copy, mode: undefined }),
    ]);
  });
});

describe("snapshotOpKey()", () => {
  const file = {
    path: "f",
    content: "text",
    mode: 0o640,
    uid: 1,
    gid: 2,
    mtime: 3,
    xattrs: { "user.a": "1", "user.b": "2" },
  };

  it("covers all that an entry says", async () => {
    const specs: MemoryTreeSpec[] = [
      [file],
      [{ ...file, path: "g" }],
      [{ ...file, content: "test" }],
      [{ ...file, mode: 0o4640 }],
      [{ ...file, uid: 2 }],
      [{ ...file, gid: 1 }],
      [{ ...file, mtime: 4 }],
      [{ ...file, mtime: { seconds: 3, nanoseconds: 1 } }],
      [{ ...file, xattrs: { "user.a": "12" } }],
      [{ ...file, xattrs: { "user.a": "1", "user.b": "3" } }],
      [file, { ...file, path: "g" }],
      [file, { path: "g", hardlinkTo: "f" }],
      [{ path: "f", linkTarget: "text" }],
      [{ path: "f", linkTarget: "test" }],
      [{ path: "f", kind: "char", device: { major: 1, minor: 2 } }],
      [{ path: "f", kind: "char", device: { major: 2, minor: 1 } }],
      [{ path: "f", kind: "block", device: { major: 1, minor: 2 } }],
      [{ path: "f", kind: "fifo" }],
      [{ path: "f", kind: "directory" }],
      [{ path: byteString("ß"), kind: "directory" }],
      [{ path: "\u00df", kind: "directory" }],
      [],
    ];
    expectAllDifferent(await Promise.all(specs.map((spec) => snapshotOpKey(memoryTree(spec)))));
  });

  it("does not depend on the order of xattrs, nor on where a file has its holes", async () => {
    const other = { ...file, xattrs: { "user.b": "2", "user.a": "1" } };
    expect(await snapshotOpKey(memoryTree([other]))).toBe(await snapshotOpKey(memoryTree([file])));
    const zeros = { path: "z", content: new Uint8Array(8192) };
    const sparse = { ...zeros, extents: [{ offset: 0, length: 4096 }] };
    expect(await snapshotOpKey(memoryTree([sparse]))).toBe(await snapshotOpKey(memoryTree([zeros])));
  });

  it("leaves times out where it is asked to", async () => {
    const key = (mtime: number, ignoreTimes?: boolean): Promise<Digest> =>
      snapshotOpKey(memoryTree([{ ...file, mtime }]), { ignoreTimes });
    expect(await key(3, true)).toBe(await key(4, true));
    expect(await key(3, true)).not.toBe(await key(3));
  });

  it("stops when it is told to", async () => {
    const reason = new Error("enough");
    await expect(snapshotOpKey(memoryTree([file]), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

/** Computed by another program from the description of the framing. */
const VECTOR = "sha256:b138539a714449364eabac12c534de320969bd577b5943bc321c3a92e7760bd2";

function expectAllDifferent(keys: readonly Digest[]): void {
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(key).toMatch(/^sha256:[0-9a-f]{64}$/);
}

/** JSON in which each kind of field looks different. */
function canonical(fields: readonly Field[]): string {
  return JSON.stringify(fields, (_, value: unknown) =>
    value === undefined ? { absent: true } : value instanceof Uint8Array ? { bytes: [...value] } : value,
  );
}
