import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { bytesToByteString } from "../src/byte-string.js";
import type { LayerEntry } from "../src/layer.js";
import { IndexBuilder } from "../src/node/archive/builder.js";
import { decodeEntries } from "../src/node/archive/decoder.js";
import { EntryEncoder } from "../src/node/archive/encoder.js";
import { decodeFooter, encodeFooter, type ArchiveFooter } from "../src/node/archive/footer.js";
import { KINDS } from "../src/node/archive/layout.js";

const DIGEST = `sha256:${"0".repeat(64)}` as const;

const byteText = fc.uint8Array({ maxLength: 300, size: "max" }).map(bytesToByteString);
const large = fc.oneof(fc.nat(300), fc.maxSafeNat());
/** Eight of them together are a safe number. */
const size = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat().map((value) => Math.floor(value / 16)),
);
const extents = fc.array(fc.record({ offset: fc.nat(), length: fc.nat() }), { maxLength: 4 }).map((gaps) => {
  let end = 0;
  return gaps.map((gap) => {
    const start = end + gap.offset;
    end = start + gap.length;
    return { offset: start, length: gap.length };
  });
});

const entry: fc.Arbitrary<LayerEntry> = fc
  .record({
    path: byteText,
    kind: fc.constantFrom(...KINDS),
    mode: fc.nat(0o7777),
    uid: fc.nat(0xffff_ffff),
    gid: fc.nat(0xffff_ffff),
    mtimeSeconds: fc.oneof(
      fc.integer(),
      fc.maxSafeInteger().map((value) => Math.floor(value / 4)),
    ),
    mtimeNanoseconds: fc.nat(999_999_999),
    xattrs: fc.array(fc.tuple(byteText, fc.uint8Array()), { maxLength: 3 }).map((pairs) => new Map(pairs)),
    linkTarget: byteText,
    deviceMajor: large,
    deviceMinor: large,
    size,
    contentOffset: fc.constant(0),
    extents: fc.option(extents, { nil: undefined }),
  })
  .map(({ extents: ranges, ...whole }) => {
    const isFile = whole.kind === "file";
    const isDevice = whole.kind === "char" || whole.kind === "block";
    const linkTarget = whole.kind === "symlink" || whole.kind === "hardlink" ? whole.linkTarget : "";
    const deviceMajor = isDevice ? whole.deviceMajor : 0;
    const deviceMinor = isDevice ? whole.deviceMinor : 0;
    const size = isFile ? whole.size : whole.kind === "symlink" ? linkTarget.length : 0;
    const clean = { ...whole, linkTarget, deviceMajor, deviceMinor, size };
    return isFile && ranges !== undefined ? { ...clean, extents: ranges } : clean;
  });

function built(entries: readonly LayerEntry[]): { bodies: Buffer; entryCount: number; contentsBytes: number } {
  const builder = new IndexBuilder();
  const bodies = entries.map((each) => Buffer.from(builder.body(builder.add(each))));
  return { bodies: Buffer.concat(bodies), entryCount: entries.length, contentsBytes: builder.contentsBytes };
}

async function decoded(
  { bodies, ...totals }: ReturnType<typeof built>,
  pieceBytes = bodies.length + 1,
): Promise<LayerEntry[]> {
  const entries: LayerEntry[] = [];
  async function* pieces(): AsyncGenerator<Buffer> {
    // One buffer for all pieces, as the reader of a file has it.
    const buffer = Buffer.alloc(pieceBytes);
    for (let start = 0; start < bodies.length; start += pieceBytes)
      yield buffer.subarray(0, bodies.copy(buffer, 0, start, start + pieceBytes));
  }
  for await (const batch of decodeEntries(pieces(), totals)) entries.push(...batch);
  return entries;
}

describe("the entries of a layer archive", () => {
  it("come back whatever they are and wherever the pieces end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.integer({ min: 1, max: 400 }), async (entries, bytes) => {
        const withoutPlaces = (await decoded(built(entries), bytes)).map((each) => ({ ...each, contentOffset: 0 }));
        expect(withoutPlaces).toEqual(entries);
      }),
    );
  });

  it("have their data one after the other", async () => {
    const sparse = { ...sample, size: 1000, extents: [{ offset: 500, length: 3 }] };
    const entries = await decoded(built([sample, { ...sample, kind: "directory", size: 0 }, sparse, sample]));
    expect(entries.map((each) => each.contentOffset)).toEqual([0, 0, 10, 13]);
  });

  it("are refused, with no other error, where any byte makes them wrong", async () => {
    const index = built([{ ...sample, xattrs: new Map([["user.a", Uint8Array.of(1, 2)]]) }, sample]);
    let refused = 0;
    for (let at = 0; at < index.bodies.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const bodies = Buffer.from(index.bodies);
        bodies[at] = value;
        try {
          await decoded({ ...index, bodies }, 20);
        } catch (error) {
          expect(error).toMatchObject({ code: "archive_invalid" });
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(30);
  });

  it("are refused if they are not as many, or not of as much data, as is claimed", async () => {
    const index = built([sample]);
    await expect(decoded({ ...index, entryCount: 2 })).rejects.toThrow("it has 1 entries, not 2");
    await expect(decoded({ ...index, contentsBytes: 11 })).rejects.toThrow("its files have 10 bytes, not 11");
    await expect(decoded({ ...index, contentsBytes: 9 })).rejects.toThrow("outside of the contents");
  });

  it("cannot hold numbers that are no safe integers", () => {
    const encoder = new EntryEncoder();
    expect(() => encoder.encode({ ...sample, size: 2 ** 53 })).toThrow(RangeError);
    expect(() => encoder.encode({ ...sample, uid: -1 })).toThrow(RangeError);
  });
});

describe("the footer of a layer archive", () => {
  const footer: ArchiveFooter = {
    diffID: DIGEST,
    layerHash: DIGEST,
    entryCount: 3,
    bodiesBytes: 100,
    contentsBytes: 5,
    tarBytes: 2048,
  };

  it("comes back", () => {
    expect(decodeFooter(encodeFooter(footer), 2 * 4096)).toEqual(footer);
  });

  it.each([
    { entryCount: 2 ** 40 },
    { bodiesBytes: 2 ** 52 },
    { entryCount: 2 ** 53 - 1, bodiesBytes: 2 ** 53 - 1 },
    { entryCount: 1000 },
  ])("is refused where the file's size does not prove %j", (claim) => {
    expect(() => decodeFooter(encodeFooter({ ...footer, ...claim }), 2 * 4096)).toThrow("it has 8192 bytes, not those");
  });

  it("is refused with numbers beyond 2^53 or a diffID that is none", () => {
    const large = encodeFooter(footer);
    large.writeBigUInt64LE(2n ** 53n, 16);
    expect(() => decodeFooter(large, 2 * 4096)).toThrow("too large");
    const none = encodeFooter(footer);
    none.write("md5", 32);
    expect(() => decodeFooter(none, 2 * 4096)).toThrow("its diffID is none");
  });
});

const sample: LayerEntry = {
  path: "a/b",
  kind: "file",
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  mtimeSeconds: 1_700_000_000,
  mtimeNanoseconds: 5,
  xattrs: new Map(),
  size: 10,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
  contentOffset: 0,
};
