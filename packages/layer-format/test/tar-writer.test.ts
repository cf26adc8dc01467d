import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";

import { LayerFormatError } from "../src/errors.js";
import type { LayerEntry } from "../src/layer.js";
import { type TarInput, writeTar } from "../src/tar/writer.js";
import { readLayer } from "./read-layer.js";

const BASE = {
  kind: "file" as const,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map<string, Uint8Array>(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
};

function input(fields: Partial<TarInput> & { path: string; body?: Uint8Array | string }): TarInput {
  const { body = "", ...rest } = fields;
  const bytes = Buffer.from(body);
  return { ...BASE, size: bytes.length, ...rest, contents: () => pieces(bytes) };
}

async function* pieces(bytes: Buffer, size = 40_000): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    const length = bytes.copy(buffer, 0, at, at + size);
    yield buffer.subarray(0, length);
    buffer.fill(0xee);
  }
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function pack(...inputs: readonly TarInput[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of writeTar(each(inputs))) parts.push(chunk);
  return Buffer.concat(parts);
}

async function refusalOf(...inputs: readonly TarInput[]): Promise<LayerFormatError> {
  try {
    await pack(...inputs);
  } catch (error) {
    if (error instanceof LayerFormatError) return error;
    throw error;
  }
  throw new Error("it was written");
}

/** Byte strings without NUL and one other byte. */
function bytesBut(excluded: string, maxLength: number): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 1, max: 0xff }).map((code) => String.fromCharCode(code));
  return fc.string({ unit: byte.filter((character) => character !== excluded), minLength: 1, maxLength });
}

const component = bytesBut("/", 120).filter((name) => name !== "." && name !== ".." && !name.startsWith(".wh."));
const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((components) => components.join("/"));
const xattrs = fc.dictionary(
  bytesBut("=", 30).map((name) => `user.${name}`),
  fc.uint8Array({ maxLength: 40 }),
  { maxKeys: 3, noNullPrototype: true },
);
const attributes = fc.record({
  path,
  mode: fc.nat(0o7777),
  uid: fc.nat(2 ** 32 - 2),
  gid: fc.nat(2 ** 32 - 2),
  mtimeSeconds: fc.oneof(fc.constant(0), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  mtimeNanoseconds: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
  xattrs: xattrs.map((values) => new Map(Object.entries(values))),
});
const extents = fc
  .array(fc.record({ gap: fc.integer({ min: 1, max: 9 }), length: fc.integer({ min: 1, max: 3 }) }), { maxLength: 60 })
  .map((spans) => {
    let at = 0;
    return spans.map(({ gap, length }) => {
      const extent = { offset: (at + gap) * 512, length: length * 512 };
      at += gap + length;
      return extent;
    });
  });
const what = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }).map((body) => ({ kind: "file" as const, body: Buffer.from(body) })),
  fc.tuple(extents, fc.integer({ min: 1, max: 9999 })).map(([ranges, tail]) => {
    const last = ranges.at(-1);
    const stored = ranges.reduce((sum, { length }) => sum + length, 0);
    const size = (last === undefined ? 0 : last.offset + last.length) + tail;
    return { kind: "file" as const, extents: ranges, size, body: Buffer.alloc(stored, "sparse") };
  }),
  fc
    .constantFrom("directory" as const, "fifo" as const, "whiteout" as const, "opaque" as const)
    .map((kind) => ({ kind })),
  fc.tuple(fc.constantFrom("symlink" as const, "hardlink" as const), path).map(([kind, linkTarget]) => ({
    kind,
    linkTarget,
    size: kind === "symlink" ? linkTarget.length : 0,
  })),
  fc
    .tuple(fc.constantFrom("char" as const, "block" as const), fc.nat(4095), fc.nat(0o777777))
    .map(([kind, deviceMajor, deviceMinor]) => ({
      kind,
      deviceMajor,
      deviceMinor,
    })),
);
/** A file's bytes with its holes. */
function expand(entry: Pick<LayerEntry, "size" | "extents"> | undefined, contents: Buffer = Buffer.alloc(0)): Buffer {
  const whole = Buffer.alloc(entry?.size ?? 0);
  let at = 0;
  for (const { offset, length } of entry?.extents ?? [{ offset: 0, length: whole.length }]) {
    contents.copy(whole, offset, at, at + length);
    at += length;
  }
  return whole;
}

const anyInput = fc.tuple(attributes, what).map(([common, special]) => ({ ...common, ...special }));

describe("writeTar()", () => {
  it("is read back the same, for any entries", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyInput, { maxLength: 5 }), async (specs) => {
        const read = readLayer(await pack(...specs.map((spec) => input(spec))));
        let contentOffset = 0;
        const expected = specs.map((spec) => {
          const { body = Buffer.alloc(0), ...fields } = { body: undefined, ...spec };
          const bytes = body ?? Buffer.alloc(0);
          const entry: LayerEntry = { ...BASE, size: bytes.length, ...fields, contentOffset };
          contentOffset += bytes.length;
          return { entry, contents: bytes };
        });
        expect(read).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  it("widens a sparse file's ranges to blocks, which leaves its contents as they are", async () => {
    const spans = fc.array(fc.tuple(fc.integer({ min: 1, max: 1500 }), fc.integer({ min: 1, max: 1200 })), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(spans, fc.nat(2000), fc.integer({ min: 1, max: 700 }), async (list, tail, chunk) => {
        let at = 0;
        const ranges = list.map(([gap, length]) => {
          const offset = at + gap;
          at = offset + length;
          return { offset, length };
        });
        const size = at + tail;
        const body = Buffer.alloc(
          ranges.reduce((sum, { length }) => sum + length, 0),
          "0123456789a",
        );
        const [read, next] = readLayer(
          await pack(
            { ...input({ path: "s", body, size, extents: ranges }), contents: () => pieces(body, chunk) },
            input({ path: "n" }),
          ),
        );
        expect(expand(read?.entry, read?.contents).equals(expand({ size, extents: ranges }, body))).toBe(true);
        expect(next?.entry.path).toBe("n");
      }),
    );
  });

  it("writes the root, whiteouts and opaque markers under their names", async () => {
    const tar = await pack(
      input({ path: "", kind: "directory", mode: 0 }),
      input({ path: "a/b", kind: "whiteout" }),
      input({ path: "a", kind: "opaque" }),
      input({ path: "", kind: "opaque" }),
    );
    const names = [0, 512, 1024, 1536].map((at) => tar.toString("latin1", at, at + 100).replaceAll("\0", ""));
    expect(names).toEqual(["./", "a/.wh.b", "a/.wh..wh..opq", ".wh..wh..opq"]);
    expect(tar).toHaveLength(4 * 512 + 1024);
  });

  it("needs no PAX header for what ustar can say, and keeps a mode of 0", async () => {
    const tar = await pack(input({ path: "shadow", mode: 0, uid: 0o777777, mtimeSeconds: 2 ** 31 - 1, body: "x" }));
    expect(tar).toHaveLength(512 + 512 + 1024);
    expect(readLayer(tar)[0]?.entry).toMatchObject({ mode: 0, uid: 0o777777, mtimeSeconds: 2 ** 31 - 1 });
  });

  it("writes the same bytes however contents and xattrs come", async () => {
    const values: [string, Uint8Array][] = [
      ["user.b", Buffer.from("2")],
      ["user.a", Buffer.from("1")],
    ];
    const make = (list: typeof values, size: number): Promise<Buffer> =>
      pack({
        ...input({ path: "f", body: "x".repeat(5000) }),
        xattrs: new Map(list),
        contents: () => pieces(Buffer.alloc(5000, "x"), size),
      });
    expect(await make(values, 1)).toEqual(await make(values.toReversed(), 5000));
  });

  it("gives chunks of 64 KiB or more but for the last, and takes entries only as they are read", async () => {
    let taken = 0;
    async function* many(): AsyncGenerator<TarInput> {
      for (; taken < 1000; taken++) yield input({ path: `d${taken}`, kind: "directory" });
    }
    const output = writeTar(many());
    const first = await output.next();
    expect(first.value?.length).toBeGreaterThanOrEqual(65_536);
    expect(taken).toBeLessThan(200);
    const sizes: number[] = [];
    for await (const chunk of output) sizes.push(chunk.length);
    expect(sizes.slice(0, -1).every((size) => size >= 65_536)).toBe(true);
  });

  it.each([
    ["a socket", input({ path: "s", kind: "socket" }), "no place in a tar"],
    ["a file named as a whiteout", input({ path: "a/.wh.x" }), "would be read as a whiteout"],
    ["a root that is no directory", input({ path: "" }), "the root is a directory"],
    ["a link without a target", input({ path: "l", kind: "symlink" }), "no target"],
    ["a device number over 18 bits", input({ path: "c", kind: "char", deviceMinor: 2 ** 18 }), "262144"],
    [
      "an xattr whose name has an equals sign",
      input({ path: "x", xattrs: new Map([["user.a=b", Buffer.from("")]]) }),
      "user.a=b",
    ],
    ["contents that are too short", { ...input({ path: "f", body: "abc" }), size: 5 }, "3 of 5 bytes"],
    ["contents that are too long", { ...input({ path: "f", body: "abc" }), size: 2 }, "more than 2 bytes"],
    ["no contents", { ...BASE, path: "f", size: 1 }, "0 of 1 bytes"],
  ])("refuses %s", async (_what, entry, message) => {
    const error = await refusalOf(entry);
    expect(error.code).toBe("layer_invalid");
    expect(error.message).toContain(message);
  });

  it("gives an error of the entries or contents as it is", async () => {
    const failure = new Error("no such file");
    const failing = (): AsyncIterable<never> => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
    });
    await expect(pack({ ...BASE, path: "f", size: 1, contents: failing })).rejects.toBe(failure);
    await expect(writeTar(failing()).next()).rejects.toBe(failure);
  });

  it("rejects with the signal's reason, before it takes an entry and inside a file", async () => {
    const reason = new Error("stop");
    let taken = 0;
    async function* counted(): AsyncGenerator<TarInput> {
      taken++;
      yield input({ path: "f", body: Buffer.alloc(1_000_000) });
    }
    await expect(writeTar(counted(), { signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
    expect(taken).toBe(0);
    const controller = new AbortController();
    const output = writeTar(counted(), { signal: controller.signal });
    await output.next();
    controller.abort(reason);
    await expect(output.next()).rejects.toBe(reason);
  });

  it("closes entries and contents when its reader stops", async () => {
    const closed: string[] = [];
    async function* contents(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(100_000);
      } finally {
        closed.push("contents");
      }
    }
    async function* entries(): AsyncGenerator<TarInput> {
      try {
        yield { ...BASE, path: "f", size: 1e9, contents };
      } finally {
        closed.push("entries");
      }
    }
    for await (const chunk of writeTar(entries())) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(closed).toEqual(["contents", "entries"]);
  });
});

const hasGnuTar = ((): boolean => {
  try {
    return execFileSync("tar", ["--version"], { encoding: "utf8" }).startsWith("tar (GNU tar)");
  } catch {
    return false;
  }
})();

describe.skipIf(!hasGnuTar)("writeTar(): for GNU tar", () => {
  const directory = mkdtempSync(join(tmpdir(), "lamella-tar-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("unpacks odd names, times, links and sparse files", async () => {
    const sparseExtents = [
      { offset: 1, length: 4 },
      { offset: 5000, length: 4 },
      { offset: 7000, length: 3 },
    ];
    const odd = Buffer.from([0x62, 0xff, 0xfe]);
    const long = `${"d".repeat(150)}/${"e".repeat(150)}`;
    const tar = await pack(
      input({ path: odd.toString("latin1"), body: "odd", mtimeSeconds: -2, mtimeNanoseconds: 500_000_000 }),
      input({ path: long, body: "long" }),
      input({ path: "hard", kind: "hardlink", linkTarget: long }),
      input({ path: "sparse", size: 10_000, body: "datamoreend", extents: sparseExtents }),
    );
    writeFileSync(join(directory, "a.tar"), tar);
    execFileSync("tar", ["-C", directory, "--no-same-owner", "-xf", join(directory, "a.tar")], { stdio: "ignore" });
    const oddPath = Buffer.concat([Buffer.from(`${directory}/`), odd]);
    expect(readFileSync(oddPath, "utf8")).toBe("odd");
    expect(statSync(oddPath, { bigint: true }).mtimeNs).toBe(-1_500_000_000n);
    expect(readFileSync(join(directory, "hard"), "utf8")).toBe("long");
    const sparse = readFileSync(join(directory, "sparse"));
    expect(sparse.equals(expand({ size: 10_000, extents: sparseExtents }, Buffer.from("datamoreend")))).toBe(true);
  });
});
