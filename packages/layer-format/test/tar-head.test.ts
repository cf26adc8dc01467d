import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { planTarEntry } from "../src/tar/head.js";
import type { TarEntryInput } from "../src/tar/head.js";
import { writeTar } from "../src/tar/writer.js";

const PLAIN: TarEntryInput = {
  path: "file",
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
};

const byte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
const text = (excluded: string, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: byte.filter((character) => character !== excluded), minLength: 1, maxLength });
const letters = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 97, maxLength: 103 });
const path = fc.oneof(letters, text("/", 150)).filter((name) => !name.startsWith("."));
const common = fc.record({
  path,
  mode: fc.nat(0o7777),
  uid: fc.oneof(fc.constantFrom(0o777777, 0o777777 + 1), fc.nat(2 ** 32 - 2)),
  gid: fc.nat(2 ** 32 - 2),
  mtimeSeconds: fc.oneof(fc.constantFrom(0, 2 ** 31 - 1, 2 ** 31, -1), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  mtimeNanoseconds: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
  xattrs: fc
    .array(fc.tuple(text("=", 20), fc.uint8Array({ maxLength: 40 })), { maxLength: 3 })
    .map((list) => new Map(list)),
});
const extents = fc.array(fc.tuple(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 2000 })), {
  maxLength: 50,
});
const sparse = fc.tuple(extents, fc.nat(2000)).map(([spans, hole]) => {
  let at = 0;
  const ranges = spans.map(([gap, length]) => {
    const range = { offset: at + gap, length };
    at += gap + length;
    return range;
  });
  return { kind: "file" as const, extents: ranges, size: at + hole };
});
const what: fc.Arbitrary<Partial<TarEntryInput>> = fc.oneof(
  fc.nat(3000).map((size) => ({ kind: "file" as const, size })),
  sparse,
  fc
    .constantFrom("directory" as const, "fifo" as const, "whiteout" as const, "opaque" as const)
    .map((kind) => ({ kind })),
  fc
    .tuple(fc.constantFrom("symlink" as const, "hardlink" as const), text("\0", 150))
    .map(([kind, linkTarget]) => ({ kind, linkTarget })),
  fc
    .tuple(fc.constantFrom("char" as const, "block" as const), fc.nat(0o777777), fc.nat(0o777777))
    .map(([kind, deviceMajor, deviceMinor]) => ({ kind, deviceMajor, deviceMinor })),
);

/** A tar put together from the entries' plans. */
function assemble(entries: readonly TarEntryInput[]): Buffer {
  const parts = entries.map((entry) => {
    const plan = planTarEntry(entry);
    const bytes = Buffer.alloc(plan.sizeBytes);
    const head = plan.encodeHead();
    expect(head).toHaveLength(plan.headBytes);
    bytes.set(head);
    for (const { offset, fileOffset, length } of plan.data) {
      for (let at = 0; at < length; at++) bytes[offset + at] = contentAt(fileOffset + at);
    }
    return bytes;
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

async function write(entries: readonly TarEntryInput[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  async function* inputs(): AsyncGenerator<
    Parameters<typeof writeTar>[0] extends AsyncIterable<infer Input> ? Input : never
  > {
    for (const entry of entries) {
      yield {
        ...entry,
        async *contents() {
          for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }])
            yield Uint8Array.from({ length }, (_, at) => contentAt(offset + at));
        },
      };
    }
  }
  for await (const chunk of writeTar(inputs())) parts.push(chunk);
  return Buffer.concat(parts);
}

function contentAt(offset: number): number {
  return (offset * 7 + 1) & 0xff;
}

describe("planTarEntry()", () => {
  it("gives the bytes that writeTar() gives, for entries of every kind", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(common, what), { maxLength: 5 }), async (described) => {
        const entries = described.map(([attributes, content]) => ({ ...PLAIN, ...attributes, ...content }));
        expect(assemble(entries).equals(await write(entries))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it("says a size over eleven octal digits in binary", () => {
    const { headBytes, sizeBytes, encodeHead } = planTarEntry({ ...PLAIN, size: 2 ** 33 + 5 });
    const field = encodeHead().subarray(headBytes - 512 + 124, headBytes - 512 + 136);
    expect(Buffer.from(field).toString("hex")).toBe("800000000000000200000005");
    expect(sizeBytes).toBe(headBytes + 2 ** 33 + 512);
  });

  it("refuses what no layer's tar can hold", () => {
    expect(() => planTarEntry({ ...PLAIN, path: "a/.wh.b" })).toThrow(
      expect.objectContaining({ code: "layer_invalid" }),
    );
    expect(() => planTarEntry({ ...PLAIN, kind: "socket" })).toThrow(
      expect.objectContaining({ code: "layer_invalid" }),
    );
  });
});
