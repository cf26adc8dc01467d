import { describe, expect, it } from "vitest";

import {
  archive,
  base256,
  END,
  file,
  GNU,
  type HeaderFields,
  header,
  long,
  pax,
  padded,
  record,
} from "./tar-builder.js";
import { paths, readLayer, readOne, refusal } from "./read-layer.js";

const link = (fields: HeaderFields): Buffer => header({ type: "2", linkName: "t", ...fields });
const sparse = (map: string, count: number, size: number, body = ""): Buffer =>
  archive(
    pax({ "GNU.sparse.map": map, "GNU.sparse.numblocks": String(count), "GNU.sparse.size": String(size) }),
    file("s", body),
  );
const mapped = (map: string, stored = map.length): Buffer =>
  archive(
    pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99" }),
    header({ size: stored }),
    padded(map),
  );

describe("hostile paths", () => {
  it.each([
    ["1", "../../evil", "evil"],
    ["2", "/abs/x", "abs/x"],
    ["3", "a/../../b", "b"],
    ["", "./a//b/./c/", "a/b/c"],
    ["", "a/b/../../../c", "c"],
    ["", "...", "..."],
    ["21", "\xc3\x9f", "\xc3\x9f"],
    ["22", "a\n\x1b\xe2\x80\xae<script>", "a\n\x1b\xe2\x80\xae<script>"],
  ])("%s resolves %j inside the image", (_row, name, path) => {
    expect(paths(archive(link({ name })))).toEqual([`symlink ${path}`]);
  });

  it("4 ignores what is named nothing, .. or the root, and drains its body", () => {
    const tar = archive(
      link({ name: ".." }),
      link({ name: "" }),
      file("/", "body"),
      file("a/..", "body"),
      header({ name: "", type: "5" }),
      file("kept"),
    );
    expect(paths(tar)).toEqual(["file kept"]);
    expect(readOne(tar).entry.contentOffset).toBe(0);
  });

  it("26 gives the root directory as the entry of the empty path", () => {
    for (const name of ["./", "/", "."]) {
      const { entry } = readOne(archive(header({ name, type: "5", mode: 0o700 })));
      expect([entry.path, entry.kind, entry.mode]).toEqual(["", "directory", 0o700]);
    }
  });

  it("24 25 refuses long names and paths, and takes the longest", () => {
    const long255 = "n".repeat(255);
    const path4096 = "d/".repeat(2047) + "ff";
    expect(paths(archive(pax({ path: `${long255}/${long255}` }), file("x")))).toEqual([`file ${long255}/${long255}`]);
    expect(paths(archive(pax({ path: path4096 }), file("x")))).toEqual([`file ${path4096}`]);
    for (const path of [`a/${long255}n/b`, `${long255}n`, `a/${long255}n`, `${path4096}f`, "d/".repeat(10_000)]) {
      expect(refusal(archive(pax({ path }), file("x")))).toMatchObject({ code: "layer_limit" });
    }
  });

  it("refuses links without a target or with one that is too long", () => {
    expect(refusal(archive(link({ linkName: "" })))).toMatchObject({ code: "layer_invalid" });
    expect(refusal(archive(header({ type: "1" })))).toMatchObject({ code: "layer_invalid" });
    expect(refusal(archive(pax({ linkpath: "t".repeat(4095) }), link({})))).toBeUndefined();
    expect(refusal(archive(pax({ linkpath: "t".repeat(4096) }), link({})))).toMatchObject({ code: "layer_limit" });
  });

  it("refuses a sparse file's name with a NUL, which Go would let through", () => {
    const records = { "GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "0" };
    expect(refusal(archive(pax({ ...records, "GNU.sparse.name": "a\0b" }), file("x")))).toMatchObject({
      code: "tar_invalid",
    });
  });
});

describe("hostile whiteouts", () => {
  it.each(["28 .wh.", "29 .wh..", "29 etc/.wh..", "30 .wh...", "30 a/b/.wh..."])("%s is refused", (row) => {
    expect(refusal(archive(file(row.slice(3))))).toMatchObject({ code: "layer_invalid" });
  });

  it("reads markers of any kind but a directory, and drains their bodies (34, 36)", () => {
    const tar = archive(
      file(".wh.top", "body"),
      file("etc/.wh.x"),
      file("etc/.wh..wh..opq", "body"),
      file(".wh..wh..opq"),
      header({ name: "a/.wh.dev", type: "3", major: 0, minor: 0 }),
      header({ name: ".wh.etc/", type: "5" }),
      file(".wh.etc/f", "data"),
      file("etc/x.wh.y"),
    );
    expect(paths(tar)).toEqual([
      "whiteout top",
      "whiteout etc/x",
      "opaque etc",
      "opaque ",
      "whiteout a/dev",
      "directory .wh.etc",
      "file .wh.etc/f",
      "file etc/x.wh.y",
    ]);
    const [first, , , , , , inside] = readLayer(tar);
    expect([first?.entry.size, first?.contents.length, inside?.entry.contentOffset]).toEqual([0, 0, 0]);
  });

  it("38 ignores what aufs left", () => {
    const tar = archive(
      header({ name: ".wh..wh.plnk/", type: "5" }),
      file(".wh..wh.plnk/12.34", "body"),
      file(".wh..wh.aufs"),
      file("d/.wh..wh.orph"),
      file(".wh..wh.plnk/.wh..wh..opq"),
      file("kept", "x"),
    );
    expect(paths(tar)).toEqual(["file kept"]);
  });

  it("39 40 takes a device 0:0 and overlay xattrs for what they are", () => {
    const tar = archive(
      header({ name: "n", type: "3" }),
      pax({ "SCHILY.xattr.trusted.overlay.opaque": "y" }),
      header({ name: "d", type: "5" }),
    );
    const [node, directory] = readLayer(tar);
    expect(node?.entry.kind).toBe("char");
    expect(directory?.entry.xattrs.has("trusted.overlay.opaque")).toBe(true);
  });
});

describe("hostile headers", () => {
  const rows: readonly (readonly [row: string, code: string, tar: Uint8Array])[] = [
    ["43 negative size in PAX", "tar_invalid", archive(pax({ size: "-1" }), file("a"))],
    ["43 negative binary size", "tar_invalid", archive(file("a", "", { magic: GNU, size: base256(-1n, 12) }))],
    ["43 negative size of an extended header", "tar_invalid", archive(header({ type: "x", size: base256(-1n, 12) }))],
    ["44 size over 2^53", "layer_limit", archive(pax({ size: String(2n ** 53n) }), file("a"))],
    ["44 size over 2^63", "tar_invalid", archive(pax({ size: String(2n ** 63n) }), file("a"))],
    ["45 hexadecimal size", "tar_invalid", archive(pax({ size: "0x10" }), file("a"))],
    ["45 exponent in the size", "tar_invalid", archive(pax({ size: "1e3" }), file("a"))],
    ["45 space before the size", "tar_invalid", archive(pax({ size: " 5" }), file("a"))],
    ["45 bare sign", "tar_invalid", archive(pax({ size: "+" }), file("a"))],
    ["46 letters in an octal field", "tar_invalid", archive(file("a", "", { size: "zz1" }))],
    ["46 digit 8 in an octal field", "tar_invalid", archive(file("a", "", { mode: "0000008" }))],
    [
      "46 binary size of over 63 bits",
      "tar_invalid",
      archive(file("a", "", { size: Buffer.from("\xbf".repeat(12), "latin1") })),
    ],
    ["47 NUL in a PAX path", "tar_invalid", archive(pax({ path: "a\0b" }), file("a"))],
    ["47 NUL in a PAX keyword", "tar_invalid", archive(pax({ "a\0": "b" }), file("a"))],
    ["49 length too short", "tar_invalid", archive(pax("9 path=abc\n"), file("a"))],
    ["49 length too long", "tar_invalid", archive(pax("99 path=abc\n"), file("a"))],
    ["49 length below five", "tar_invalid", archive(pax("4 a=\n"), file("a"))],
    ["49 negative length", "tar_invalid", archive(pax("-12 path=abc\n"), file("a"))],
    ["49 no length", "tar_invalid", archive(pax("path=abc\n"), file("a"))],
    ["49 no equals sign", "tar_invalid", archive(pax("9 pathab\n"), file("a"))],
    ["49 equals sign only in the next record", "tar_invalid", archive(pax(`9 pathab\n${record("a", "b")}`), file("a"))],
    ["49 no keyword", "tar_invalid", archive(pax("7 =abc\n"), file("a"))],
    ["49 no newline", "tar_invalid", archive(pax("12 path=abcd"), file("a"))],
    ["49 in a global header", "tar_invalid", archive(pax("99 path=abc\n", "g"), file("a"))],
    ["50 PAX body over 1 MiB", "layer_limit", archive(header({ type: "x", size: 2 ** 20 + 1 }))],
    ["50 long name over 1 MiB", "layer_limit", archive(header({ type: "L", size: 2 ** 20 + 1, magic: GNU }))],
    ["50 long link over 1 MiB", "layer_limit", archive(header({ type: "K", size: 2 ** 20 + 1, magic: GNU }))],
    ["52 zero block before an entry", "tar_invalid", Buffer.concat([file("a"), Buffer.alloc(512), file("b")])],
    ["54 wrong checksum midway", "tar_invalid", archive(file("a", "x"), header({ checksum: "0012345" }), file("b"))],
    ["58 unknown type", "layer_invalid", archive(header({ type: "Z" }))],
    ["58 GNU's volume header", "layer_invalid", archive(header({ type: "V", magic: GNU }))],
    ["59 hole over the quota", "layer_limit", sparse("0,1", 1, 2 ** 40, "x")],
    ["60 ranges that overlap", "tar_invalid", sparse("0,5,4,1", 2, 10, "abcdef")],
    ["60 ranges out of order", "tar_invalid", sparse("5,1,0,1", 2, 10, "ab")],
    ["60 range beyond the size", "tar_invalid", sparse("5,6", 1, 10, "abcdef")],
    ["60 more ranges than promised", "tar_invalid", sparse("0,1,2,1", 1, 10, "ab")],
    ["60 fewer ranges than promised", "tar_invalid", sparse("0,1", 2, 10, "a")],
    ["60 trailing comma", "tar_invalid", sparse("0,1,", 1, 10, "a")],
    ["60 more data than the map has", "tar_invalid", sparse("0,1", 1, 10, "ab")],
    ["60 less data than the map has", "tar_invalid", sparse("0,2", 1, 10, "a")],
    ["60 offsets and lengths not in turn", "tar_invalid", archive(pax(record("GNU.sparse.numbytes", "1")), file("a"))],
    ["60 a million ranges", "layer_limit", mapped("1000000\n", 4096)],
    ["60 endless map", "layer_limit", mapped("1".repeat(2 ** 21))],
    ["60 map that is no number", "tar_invalid", mapped("x\n")],
    ["60 data ends inside the map", "tar_invalid", mapped("2\n0\n")],
    ["60 data too small for a map", "tar_invalid", mapped("0\n", 100)],
    [
      "60 directory with a map",
      "tar_invalid",
      archive(pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" }), header({ type: "5" })),
    ],
    ["60 old map in a ustar header", "tar_invalid", archive(header({ type: "S" }))],
    ["62 time that is none", "tar_invalid", archive(pax({ mtime: "1.5x" }), file("a"))],
    ["62 access time that is none", "tar_invalid", archive(pax({ atime: "yesterday" }), file("a"))],
    ["63 negative uid in PAX", "layer_invalid", archive(pax({ uid: "-1" }), file("a"))],
    ["63 negative binary gid", "layer_invalid", archive(file("a", "", { gid: base256(-1n, 8) }))],
    ["63 uid of letters", "tar_invalid", archive(pax({ uid: "abc" }), file("a"))],
    ["63 uid of 2^33", "layer_invalid", archive(pax({ uid: String(2 ** 33) }), file("a"))],
    ["63 uid that means none", "layer_invalid", archive(pax({ uid: String(2 ** 32 - 1) }), file("a"))],
    ["device number over 32 bits", "layer_invalid", archive(header({ type: "3", major: base256(2n ** 32n, 8) }))],
    ["64 xattr of 65 KiB", "layer_limit", archive(pax({ "SCHILY.xattr.user.a": "x".repeat(65 * 1024) }), file("a"))],
    [
      "64 10,000 xattrs",
      "layer_limit",
      archive(pax(Array.from({ length: 10_000 }, (_, i) => record(`SCHILY.xattr.user.${i}`, "x")).join("")), file("a")),
    ],
    [
      "64 xattr name of 256 bytes",
      "layer_limit",
      archive(pax({ [`SCHILY.xattr.${"n".repeat(256)}`]: "x" }), file("a")),
    ],
    ["64 xattr without a name", "layer_invalid", archive(pax({ "SCHILY.xattr.": "x" }), file("a"))],
  ];

  it.each(rows)("%s: %s", (_row, code, tar) => {
    expect(refusal(tar)).toMatchObject({ code });
  });

  it("55 reads no body after a link, directory or device, whatever its size", () => {
    const tar = archive(
      link({ name: "s", size: 4096 }),
      header({ name: "h", type: "1", linkName: "f", size: 77 }),
      header({ name: "d", type: "5", size: 1 }),
      header({ name: "n", type: "\0", size: 0 }),
      header({ name: "o/", type: "\0", size: 600 }),
      file("f"),
    );
    expect(paths(tar)).toEqual(["symlink s", "hardlink h", "directory d", "file n", "directory o", "file f"]);
  });

  it("56 refuses a tar cut anywhere but between entries", () => {
    const whole = Buffer.concat([long("L", "name"), file("a", "x".repeat(600)), pax({ mtime: "1" }), file("b", "y")]);
    const accepted: number[] = [];
    for (let length = 0; length < whole.length; length += 64) {
      if (refusal(whole.subarray(0, length)) === undefined) accepted.push(length);
    }
    // Go takes an extended header that nothing follows for the end, too.
    expect(accepted).toEqual([0, 1024, 2560, 3584]);
  });

  it("59 takes a hole within the quota", () => {
    const { entry, contents } = readOne(sparse("0,1", 1, 2 ** 38, "x"));
    expect([entry.size, contents.length]).toEqual([2 ** 38, 1]);
  });

  it("64 takes the largest xattr", () => {
    const { entry } = readOne(archive(pax({ "SCHILY.xattr.user.a": "x".repeat(65_536) }), file("a")));
    expect(entry.xattrs.get("user.a")).toHaveLength(65_536);
  });

  it("66 gives every entry of a path, in order", () => {
    expect(paths(archive(file("p"), header({ name: "p/", type: "5" }), link({ name: "p" })))).toEqual([
      "file p",
      "directory p",
      "symlink p",
    ]);
  });
});

describe("limits", () => {
  it.each([
    ["entries", 1, archive(file("a"), file("b")), "over 1 entries"],
    ["headerBytes", 8, archive(pax({ mtime: "1" }), file("a")), "over 8 bytes"],
    ["pathBytes", 3, archive(file("abcd")), "over 3 bytes"],
    ["nameBytes", 3, archive(file("ab/abcd")), "over 3 bytes"],
    [
      "xattrs",
      1,
      archive(pax({ "SCHILY.xattr.a": "", "SCHILY.xattr.b": "" }), file("a")),
      "over 1 extended attributes",
    ],
    ["xattrBytes", 1, archive(pax({ "SCHILY.xattr.a": "xx" }), file("a")), "over 1 bytes"],
    ["extents", 1, sparse("0,1,2,1", 2, 10, "ab"), "over 1 extents"],
    ["metadataBytes", 7, archive(file("abcd"), file("efgh")), "over 7 bytes"],
    ["fileBytes", 5, archive(file("a", "abc"), file("b", "def")), "over 5 bytes"],
    ["tarBytes", 1024, archive(file("a"), file("b")), "over 1024 bytes"],
  ])("%s is kept, and named when passed", (limit, value, tar, message) => {
    expect(refusal(tar)).toBeUndefined();
    const refused = refusal(tar, { limits: { [limit]: value } });
    expect(refused).toMatchObject({ code: "layer_limit" });
    expect(refused?.message).toContain(message);
  });

  it("bounds an old sparse map whose extension blocks never end", () => {
    const head = header({
      type: "S",
      magic: GNU,
      raw: [
        [482, "\x01"],
        [483, "00000000000\0"],
      ],
    });
    const block = Buffer.alloc(512);
    block[504] = 1;
    const tar = Buffer.concat([head, ...Array.from({ length: 2050 }, () => block)]);
    expect(refusal(tar)).toMatchObject({ code: "layer_limit" });
  });

  it("keeps the end marker's silence within tarBytes as well", () => {
    expect(refusal(Buffer.concat([END, Buffer.alloc(4096)]), { limits: { tarBytes: 2048 } })).toMatchObject({
      code: "layer_limit",
    });
  });
});
