import * as fc from "fast-check";

import { BLOCK_BYTES, headerBlock, type PaxRecord } from "./tar-bytes.js";
import { encodeEntry, type GeneratedEntry, hasData, type SparseStyle, type Span } from "./tar-entry.js";

/** A tar to read, and whether its writer meant it to be right. */
export interface GeneratedTar {
  readonly entries: readonly GeneratedEntry[];
  readonly ending: Ending;
}

type Ending = "marker" | "none" | "one-block" | "garbage" | "cut";

const COMPONENTS = fc.oneof(
  { weight: 200, arbitrary: fc.constantFrom("a", "b", "c", "dir", "a-", "link") },
  { weight: 30, arbitrary: fc.constantFrom(".wh.a", ".wh.b", ".wh..wh..opq", ".wh.dir") },
  { weight: 6, arbitrary: fc.constantFrom(".wh..wh.plnk", ".wh..wh.aufs", ".wh.", ".wh...", "..", ".", "") },
  {
    weight: 30,
    arbitrary: fc.constantFrom("\xff\xfe\x80", "\xc3\xbc", "u\xcc\x88", "\n", "\x1b[31m", " ", 'q"\\', " -> "),
  },
  { weight: 16, arbitrary: fc.constantFrom("n".repeat(99), "m".repeat(100), "l".repeat(156), "k".repeat(255)) },
  { weight: 1, arbitrary: fc.constant("j".repeat(256)) },
);

const path: fc.Arbitrary<string> = fc
  .tuple(often("", "/", "./", "../", "//"), fc.array(COMPONENTS, { minLength: 1, maxLength: 4 }), often("", "/", "/."))
  .map(([before, names, after]) => `${before}${names.join("/")}${after}`);

const target = fc.oneof(
  { weight: 60, arbitrary: path },
  { weight: 9, arbitrary: fc.constantFrom("/etc/passwd", "../../x", "t".repeat(4000), "u".repeat(4097)) },
  { weight: 1, arbitrary: fc.constant("") },
);

const XATTR = fc.tuple(
  fc.constantFrom("user.a", "user.\xff", "security.capability", "trusted.x", "user.b c"),
  fc.oneof(fc.constantFrom("", "text", "a=b\nc", "\0\x01\xff"), fc.string({ unit: "binary-ascii", maxLength: 40 })),
);

const RECORDS: fc.Arbitrary<PaxRecord> = fc.constantFrom<PaxRecord[]>(
  ["comment", "\xff any\nbytes"],
  ["atime", "1.5"],
  ["ctime", "-1"],
  ["LIBARCHIVE.creationtime", "7"],
  ["uname", "somebody"],
  ["path", ""],
  ["size", ""],
  ["uid", ""],
  ["mtime", "1.1234567891"],
  ["mtime", "12."],
  ["hdrcharset", "BINARY"],
  ["SCHILY.dev", "9"],
);
const BROKEN_RECORDS: fc.Arbitrary<PaxRecord> = fc.constantFrom<PaxRecord[]>(
  ["size", "0x10"],
  ["size", "-1"],
  ["uid", "abc"],
  ["gid", "4294967296"],
  ["mtime", "1e3"],
  ["mtime", ".5"],
  ["path", "a\0b"],
  ["GNU.sparse.map", "0,1,1"],
  ["SCHILY.xattr.", "nameless"],
  ["atime", "x"],
);

const textStyle = fc.constantFrom("header", "header", "prefix", "pax", "gnu", "gnu-and-pax" as const);
const numberStyle = fc.constantFrom("octal", "octal", "spaced", "full", "binary", "pax" as const);
const owner = fc.oneof(
  fc.nat(70_000),
  fc.constantFrom(0, 0o7777777, 2 ** 31, 2 ** 32 - 2),
  rarely(fc.constantFrom(-1, 2 ** 32 - 1, 2 ** 33), fc.constant(0), 40),
);
const seconds = fc.oneof(
  fc.nat(2 ** 31),
  fc.constantFrom(0, -1, -86_400, 2 ** 33, -(2 ** 40)),
  fc.integer({ min: -1e9, max: 1e9 }),
);
const nanoseconds = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 999_999_999 }) },
);
const content = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 0, max: 1600 }).map((size) => new Uint8Array(size).fill(size)),
);

const sparse = fc
  .record({
    style: fc.constantFrom<SparseStyle[]>("old", "0.0", "0.1", "1.0"),
    runs: fc.array(fc.tuple(fc.constantFrom(0, 1, 512, 4096, 10_000), fc.nat(600)), { maxLength: 30 }),
    tail: fc.constantFrom(0, 0, 700, 8192),
    // As GNU tar writes them: it begins each range of data on a block.
    aligned: fc.boolean(),
  })
  .map(({ style, runs, tail, aligned }) => {
    const spans: Span[] = [];
    let end = 0;
    for (const [hole, some] of runs) {
      const length = aligned ? BLOCK_BYTES * Math.ceil(some / BLOCK_BYTES) : some;
      spans.push([end + hole, length]);
      end += hole + length;
    }
    // GNU tar marks a hole at the end by a last, empty span.
    if (tail > 0) spans.push([end + tail, 0]);
    return { style, spans, size: end + tail };
  });

const type = fc.oneof(
  {
    weight: 60,
    arbitrary: fc.constantFrom("0", "0", "0", "\0", "7", "1", "1", "2", "2", "3", "4", "5", "5", "5", "6"),
  },
  { weight: 1, arbitrary: fc.constantFrom("Z", "D", "V", "M") },
);

/** One entry of any kind and in any way of writing it; few are wrong. */
const generatedEntry: fc.Arbitrary<GeneratedEntry> = fc
  .record({
    format: fc.constantFrom("ustar", "ustar", "gnu", "v7", "star" as const),
    type,
    name: path,
    nameStyle: textStyle,
    linkName: target,
    linkStyle: textStyle,
    mode: fc.oneof(fc.constantFrom(0o644, 0o755, 0o4755, 0o1777, 0), fc.nat(0o7777), fc.constant(0o100644)),
    uid: owner,
    gid: owner,
    numberStyle,
    seconds,
    nanoseconds,
    timeStyle: numberStyle,
    device: fc.tuple(fc.constantFrom(0, 1, 8, 4095), fc.constantFrom(0, 3, 255, 0o777777)),
    content,
    sparse: rarely(sparse, fc.constant(undefined), 6),
    xattrs: rarely(fc.array(XATTR, { maxLength: 3 }), fc.constant([]), 4),
    records: rarely(
      fc.array(fc.oneof({ weight: 20, arbitrary: RECORDS }, { weight: 1, arbitrary: BROKEN_RECORDS }), {
        maxLength: 3,
      }),
      fc.constant([]),
      5,
    ),
    globalRecords: rarely(fc.array(RECORDS, { maxLength: 2 }), fc.constant(undefined), 15),
    claimedSize: often(0, 1, 512, 5000),
  })
  .map(coherent);

/** What only belongs to some kinds of entries, taken away from the others. */
function coherent(entry: GeneratedEntry): GeneratedEntry {
  const isLink = entry.type === "1" || entry.type === "2";
  const isDirectory = entry.type === "5";
  const isMarker = entry.name.includes(".wh.");
  const name = isDirectory || entry.type === "\0" ? entry.name : entry.name.replace(/\/+$/, "");
  // A header whose prefix or old times are taken for the other's would say something else than it is meant to.
  const nameStyle =
    entry.format === "gnu" || entry.format === "v7"
      ? entry.nameStyle === "prefix"
        ? "gnu"
        : entry.nameStyle
      : entry.nameStyle;
  const coherentEntry = {
    ...entry,
    name,
    nameStyle,
    linkName: !isLink ? "" : isMarker ? entry.linkName || "a" : entry.linkName,
    linkStyle: isLink ? entry.linkStyle : ("header" as const),
  };
  const { sparse: map } = entry;
  if (map === undefined || !hasData(entry.type) || name.endsWith("/")) return { ...coherentEntry, sparse: undefined };
  const dataBytes = map.spans.reduce((sum, [, length]) => sum + length, 0);
  const data = Uint8Array.from({ length: dataBytes }, (_, index) => 1 + (index % 251));
  const old = map.style === "old";
  return {
    ...coherentEntry,
    content: data,
    format: old ? "gnu" : "ustar",
    type: old ? "S" : "0",
    nameStyle: old && nameStyle === "prefix" ? "gnu" : nameStyle,
  };
}

/** A whole tar, by entries and by how it ends. */
export const generatedTar: fc.Arbitrary<GeneratedTar> = fc.record({
  entries: fc.array(generatedEntry, { minLength: 1, maxLength: 8 }),
  ending: often<Ending>("marker", "none", "one-block", "garbage", "cut"),
});

export function encodeTar({ entries, ending }: GeneratedTar): Buffer {
  const body = Buffer.concat(entries.map(encodeEntry));
  switch (ending) {
    case "none":
      return body;
    case "one-block":
      return Buffer.concat([body, Buffer.alloc(512)]);
    case "garbage":
      return Buffer.concat([
        body,
        Buffer.alloc(1024),
        headerBlock({ format: "ustar", type: "0", name: "after" }),
        Buffer.alloc(70, 7),
      ]);
    case "cut":
      return body.subarray(0, Math.max(0, body.length - 300));
    default:
      return Buffer.concat([body, Buffer.alloc(1024)]);
  }
}

/** The first of the values mostly. */
function often<Value>(usual: Value, ...others: Value[]): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
}

function rarely<Rare, Usual>(
  rare: fc.Arbitrary<Rare>,
  usual: fc.Arbitrary<Usual>,
  weight = 8,
): fc.Arbitrary<Rare | Usual> {
  return fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: rare });
}
