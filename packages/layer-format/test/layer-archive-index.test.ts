import { createDigester, digestHex, digestOf } from "@lamella/refs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { bytesToByteString } from "../src/byte-string.js";
import type { LayerEntry } from "../src/layer.js";
import { decodeIndex } from "../src/node/layer-archive-decoder.js";
import { EntryEncoder, encodeHeader, encodeTotals } from "../src/node/layer-archive-encoder.js";
import { KINDS } from "../src/node/layer-archive-layout.js";

const CONTENTS_BYTES = 2 ** 52;
const DIFF_ID = digestOf(new Uint8Array(0));

const byteText = fc.uint8Array({ maxLength: 300, size: "max" }).map(bytesToByteString);
const large = fc.oneof(fc.nat(300), fc.maxSafeNat());
const offset = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat().map((value) => Math.floor(value / 8)),
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
    size: offset,
    contentOffset: offset,
    extents: fc.option(extents, { nil: undefined }),
  })
  .map(({ extents: ranges, ...whole }) => {
    const isFile = whole.kind === "file";
    const isDevice = whole.kind === "char" || whole.kind === "block";
    const linkTarget = whole.kind === "symlink" || whole.kind === "hardlink" ? whole.linkTarget : "";
    const deviceMajor = isDevice ? whole.deviceMajor : 0;
    const deviceMinor = isDevice ? whole.deviceMinor : 0;
    const size = isFile ? whole.size : whole.kind === "symlink" ? linkTarget.length : 0;
    const contentOffset = isFile ? whole.contentOffset : 0;
    const clean = { ...whole, linkTarget, deviceMajor, deviceMinor, size, contentOffset };
    return isFile && ranges !== undefined ? { ...clean, extents: ranges } : clean;
  });

function encodeIndex(entries: readonly LayerEntry[], entryCount = entries.length): Buffer {
  const encoder = new EntryEncoder();
  const parts = [encodeHeader(), ...entries.map((each) => Buffer.from(encoder.encode(each)))];
  return sealed(
    Buffer.concat([...parts, encodeTotals({ entryCount, contentsBytes: CONTENTS_BYTES, tarBytes: 7 }, DIFF_ID)]),
  );
}

function sealed(bytes: Uint8Array): Buffer {
  const digester = createDigester();
  digester.update(bytes);
  return Buffer.concat([bytes, Buffer.from(digestHex(digester.digest()), "hex")]);
}

describe("the index of a layer archive", () => {
  it("gives back any entries", () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        const decoded = decodeIndex(encodeIndex(entries));
        expect(decoded).toEqual({
          diffID: DIFF_ID,
          entryCount: entries.length,
          contentsBytes: CONTENTS_BYTES,
          tarBytes: 7,
          entries,
        });
      }),
    );
  });

  it("refuses, with no other error, entries that are wrong under a right checksum", () => {
    const file = encodeIndex([{ ...sample, xattrs: new Map([["user.a", Uint8Array.of(1, 2)]]) }, sample]);
    const footer = 192;
    let refused = 0;
    for (let at = 16; at < file.length - footer; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const body = Buffer.from(file.subarray(0, file.length - 32));
        body[at] = value;
        try {
          decodeIndex(sealed(body));
        } catch (error) {
          expect(error).toMatchObject({ code: "archive_invalid" });
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(30);
  });

  it("refuses a count that is not that of its entries", () => {
    expect(() => decodeIndex(encodeIndex([sample], 2))).toThrow("it has 1 entries, not 2");
  });

  it("refuses a file whose data lies outside of the contents", () => {
    expect(() => decodeIndex(encodeIndex([{ ...sample, contentOffset: CONTENTS_BYTES, size: 1 }]))).toThrow(
      "outside of the contents",
    );
  });

  it("cannot hold numbers that are no safe integers", () => {
    const encoder = new EntryEncoder();
    expect(() => encoder.encode({ ...sample, size: 2 ** 53 })).toThrow(RangeError);
    expect(() => encoder.encode({ ...sample, uid: -1 })).toThrow(RangeError);
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
  contentOffset: 300,
};
