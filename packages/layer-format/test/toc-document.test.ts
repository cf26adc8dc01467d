import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { LayerFormatError } from "../src/errors.js";
import { DEFAULT_TOC_LIMITS, readTocDocument, type TocLimits } from "../src/toc/document.js";
import type { LayerToc } from "../src/toc/toc.js";
import { sha256 } from "./toc-blob.js";

interface Given {
  limits?: Partial<TocLimits>;
  format?: LayerToc["format"];
}

function read(json: string, { limits, format = "estargz" }: Given = {}): LayerToc {
  const bytes = Buffer.from(json, "latin1");
  return readTocDocument({
    json: bytes,
    digest: digestOf(bytes),
    format,
    isVouchedFor: true,
    dataEnd: 1000,
    limits: { ...DEFAULT_TOC_LIMITS, ...limits },
  });
}

const readEntries = (entries: readonly unknown[], given?: Given): LayerToc =>
  read(JSON.stringify({ version: 1, entries }), given);

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof LayerFormatError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

const digest = sha256("data");
const file = (fields: object): object => ({
  name: "f",
  type: "reg",
  size: 10,
  offset: 0,
  chunkDigest: digest,
  ...fields,
});
const chunk = (fields: object): object => ({ name: "f", type: "chunk", chunkDigest: digest, ...fields });

describe("readTocDocument()", () => {
  it("reads every kind of entry with its attributes", () => {
    const { entries } = readEntries([
      { name: "./", type: "dir", mode: 0o40700 },
      { name: "/etc/x", type: "symlink", linkName: "/y", modtime: "2024-01-01T00:00:00Z", mode: 0o777 },
      { name: "dev/null", type: "char", devMajor: 1, devMinor: 3, uid: 4, gid: 5, mode: 0o666 },
      { name: "dev/sda", type: "block", devMajor: 8 },
      { name: "p", type: "fifo" },
      { name: "f", type: "reg", xattrs: { "user.a": "AAH/", "user.empty": "" } },
      { name: "h", type: "hardlink", linkName: "./f" },
      { name: "etc/.wh.gone", type: "reg" },
      { name: "opt/.wh..wh..opq", type: "reg" },
      { name: ".wh..wh.plnk", type: "dir" },
    ]);
    expect(entries.map(({ kind, path, linkTarget }) => `${kind} ${path} ${linkTarget}`)).toEqual([
      "directory  ",
      "symlink etc/x /y",
      "char dev/null ",
      "block dev/sda ",
      "fifo p ",
      "file f ",
      "hardlink h ./f",
      "whiteout etc/gone ",
      "opaque opt ",
    ]);
    expect(entries[0]?.mode).toBe(0o700);
    expect(entries[1]).toMatchObject({ mtimeSeconds: 1_704_067_200, size: 2 });
    expect(entries[2]).toMatchObject({ deviceMajor: 1, deviceMinor: 3, uid: 4, gid: 5 });
    expect(entries[5]?.xattrs).toEqual(
      new Map([
        ["user.a", Uint8Array.of(0, 1, 255)],
        ["user.empty", new Uint8Array()],
      ]),
    );
  });

  it("lays files' data back to back, and ends each member where the next begins", () => {
    const { chunks, contentsBytes } = readEntries([
      file({ chunkSize: 6 }),
      chunk({ offset: 100, chunkOffset: 6 }),
      file({ name: "g", offset: 200, innerOffset: 0 }),
      file({ name: "h", offset: 200, innerOffset: 512 }),
    ]);
    expect(chunks.map((c) => [c.contentOffset, c.size, c.blobOffset, c.blobEnd, c.innerOffset])).toEqual([
      [0, 6, 0, 100, 0],
      [6, 4, 100, 200, 0],
      [10, 10, 200, 1000, 0],
      [20, 10, 200, 1000, 512],
    ]);
    expect(contentsBytes).toBe(30);
  });

  it("takes landmarks for what they say, not for files", () => {
    const landmark = file({ name: ".prefetch.landmark", size: 1, offset: 50 });
    const toc = readEntries([file({}), landmark, file({ name: "g", offset: 60 })]);
    expect(toc.entries.map(({ path }) => path)).toEqual(["f", "g"]);
    expect(toc).toMatchObject({ prefetchBytes: 50, contentsBytes: 20 });
    expect(toc.chunks[0]?.blobEnd).toBe(50);
    expect(readEntries([file({ name: ".no.prefetch.landmark", size: 1 })]).prefetchBytes).toBe(0);
    expect(readEntries([]).prefetchBytes).toBeUndefined();
  });

  it("takes an exact name that agrees with the text, and refuses one that does not", () => {
    const exact = Buffer.from("caf\xe9", "latin1").toString("base64");
    const json = `{"version":1,"entries":[{"name":"caf\\ufffd","lamellaName":"${exact}","type":"fifo"}]}`;
    expect(read(json).entries[0]?.path).toBe("caf\xe9");
    expect(refusal(() => read(json.replace("caf\\ufffd", "tea")))).toMatch(/^toc_invalid: .*differ/);
  });

  it("keeps keys like __proto__ inert", () => {
    const { entries } = read(
      '{"version":1,"__proto__":{"x":1},"entries":[{"__proto__":{"type":"dir"},"name":"a","type":"fifo"}]}',
    );
    expect(entries.map(({ kind }) => kind)).toEqual(["fifo"]);
  });

  it.each([
    ["nothing", "", /not JSON/],
    ["an array", "[]", /not JSON/],
    ["an open object", "{", /not JSON/],
    ["an open list", '{"version":1,"entries":[{"name":"a","type":"fifo"}', /not JSON/],
    ["a missing comma", '{"version":1,"entries":[{"name":"a" "type":"dir"}]}', /not JSON/],
    ["something after it", '{"version":1,"entries":[]} x', /not JSON/],
    ["a comma alone", '{"version":1,"entries":[,]}', /not JSON/],
    ["bytes that are no UTF-8", '{"version":1,"entries":[{"name":"\xff","type":"dir"}]}', /not JSON in UTF-8/],
    ["no entries", '{"version":1}', /no entries/],
    ["entries that are an object", '{"version":1,"entries":{}}', /not an array/],
    ["entries twice", '{"version":1,"entries":[],"entries":[]}', /twice/],
    ["version 2", '{"version":2,"entries":[]}', /version/],
    ["no version", '{"entries":[]}', /version/],
    ["an entry that is a number", '{"version":1,"entries":[1]}', /not an object/],
    ["an entry that nests deep", `{"version":1,"entries":[${"[".repeat(50)}${"]".repeat(50)}]}`, /deeper/],
    ["a key that nests deep", `{"version":1,"x":${"[".repeat(100_000)}`, /deeper/],
  ])("refuses a table with %s", (_name, json, rule) => {
    const said = refusal(() => read(json));
    expect(said).toMatch(/^toc_invalid: cannot read the table of contents/);
    expect(said).toMatch(rule);
  });

  it.each([
    ["a name that leads upwards", [{ name: "../x", type: "dir" }], /upwards/],
    ["a name that leads upwards within", [{ name: "a/../b", type: "dir" }], /upwards/],
    ["no name", [{ type: "dir" }], /no name/],
    ["a name with NUL", [{ name: "a\0b", type: "dir" }], /NUL/],
    ["a root that is a file", [{ name: "/", type: "reg" }], /root/],
    [
      "a name twice",
      [
        { name: "a/", type: "dir" },
        { name: "./a", type: "fifo" },
      ],
      /twice/,
    ],
    ["an unknown type", [{ name: "a", type: "toString" }], /type/],
    ["a table that lists itself", [{ name: "stargz.index.json", type: "fifo" }], /itself/],
    ["a hard link to nothing", [{ name: "h", type: "hardlink", linkName: "f" }], /not there before/],
    ["a hard link before its target", [{ name: "h", type: "hardlink", linkName: "f" }, file({})], /not there before/],
    ["a hard link to itself", [{ name: "h", type: "hardlink", linkName: "h" }], /not there before/],
    [
      "a hard link to a directory",
      [
        { name: "d", type: "dir" },
        { name: "h", type: "hardlink", linkName: "d" },
      ],
      /directory/,
    ],
    ["a symlink to nothing", [{ name: "s", type: "symlink" }], /no target/],
    ["a bad time", [{ name: "a", type: "dir", modtime: "yesterday" }], /RFC 3339/],
    ["a negative owner", [{ name: "a", type: "dir", uid: -1 }], /uid/],
    ["an owner of 2^32 - 1", [{ name: "a", type: "dir", gid: 2 ** 32 - 1 }], /gid/],
    ["a size with a fraction", [file({ size: 1.5 })], /size/],
    ["a size that is text", [file({ size: "1" })], /size/],
    ["a size over 2^53", [file({ size: 2 ** 60 })], /size/],
    ["xattrs in no Base64", [{ name: "a", type: "dir", xattrs: { x: "%" } }], /Base64/],
    ["xattrs without a name", [{ name: "a", type: "dir", xattrs: { "": "" } }], /no name/],
    ["a chunk of no file", [chunk({})], /no file/],
    ["a chunk after an empty file", [file({ size: 0 }), chunk({ offset: 1, chunkOffset: 0 })], /no file/],
    ["a chunk without a digest", [file({ chunkDigest: "" })], /digest/],
    ["a digest that is none", [file({ chunkDigest: "sha256:x" })], /chunkDigest/],
    ["a gap between chunks", [file({ chunkSize: 4 }), chunk({ offset: 10, chunkOffset: 5 })], /gap/],
    ["chunks that overlap", [file({ chunkSize: 4 }), chunk({ offset: 10, chunkOffset: 3 })], /overlap/],
    [
      "chunks that end early",
      [file({ chunkSize: 4 }), chunk({ offset: 10, chunkOffset: 4, chunkSize: 5 })],
      /end at byte 9/,
    ],
    [
      "chunks that end early before another file",
      [file({ chunkSize: 4 }), file({ name: "g", offset: 9 })],
      /end at byte 4/,
    ],
    [
      "chunks beyond the file",
      [file({ chunkSize: 4 }), chunk({ offset: 10, chunkOffset: 4, chunkSize: 7 })],
      /more bytes/,
    ],
    ["data outside of the blob", [file({ offset: 1000 })], /outside/],
    ["data in another order", [file({ offset: 9 }), file({ name: "g", offset: 8 })], /order/],
    ["two files on the same data", [file({ offset: 9 }), file({ name: "g", offset: 9 })], /overlaps/],
    ["two files that share data", [file({ offset: 9 }), file({ name: "g", offset: 9, innerOffset: 9 })], /overlaps/],
    ["an unknown type of chunk", [file({ chunkType: "random" })], /type of a chunk/],
  ])("refuses %s", (_name, entries, rule) => {
    const said = refusal(() => readEntries(entries));
    expect(said).toMatch(/^toc_invalid: /);
    expect(said).toMatch(rule);
  });

  it.each([
    [
      "entries",
      { entries: 1 },
      [
        { name: "a", type: "dir" },
        { name: "b", type: "dir" },
      ],
    ],
    ["bytes of a path", { pathBytes: 3 }, [{ name: "a/bc", type: "dir" }]],
    ["bytes of a name", { nameBytes: 3 }, [{ name: "abcd", type: "dir" }]],
    ["bytes of files", { fileBytes: 9 }, [file({})]],
    ["bytes of names", { metadataBytes: 3 }, [{ name: "abcd", type: "dir" }]],
    ["bytes of a chunk", { chunkBytes: 9 }, [file({})]],
    ["extended attributes", { xattrs: 1 }, [{ name: "a", type: "dir", xattrs: { a: "", b: "" } }]],
    ["bytes of an attribute", { xattrBytes: 2 }, [{ name: "a", type: "dir", xattrs: { a: "AAAA" } }]],
  ])("keeps the limit of %s", (_name, limits, entries) => {
    expect(refusal(() => readEntries(entries, { limits }))).toMatch(/^layer_limit: /);
    expect(refusal(() => readEntries(entries))).toBe("accepted");
  });

  it("takes a chunk of zeros of any size, in zstd:chunked only", () => {
    const zeros = [file({ size: 2 ** 40, chunkType: "zeros" })];
    expect(readEntries(zeros, { format: "zstd:chunked", limits: { fileBytes: 2 ** 41 } }).chunks[0]?.isZeros).toBe(
      true,
    );
    expect(refusal(() => readEntries(zeros, { limits: { fileBytes: 2 ** 41 } }))).toMatch(/^layer_limit: /);
  });

  it("stops at the first of many empty entries, in little memory", () => {
    const json = `{"version":1,"entries":[${"{},".repeat(2_000_000)}{}]}`;
    const before = process.memoryUsage().heapUsed;
    expect(refusal(() => read(json))).toMatch(/^toc_invalid: /);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 2 ** 20);
  });
});
