import { describe, expect, it } from "vitest";

import { archive, base256, END, file, GNU, header, long, pax, padded, record, USTAR } from "./tar-builder.js";
import { createLayerReader } from "../src/tar/layer-reader.js";
import { paths, readLayer, readOne, refusal } from "./read-layer.js";

describe("createLayerReader(): entries", () => {
  it("gives every attribute of a file and where its contents begin", () => {
    const [first, second] = readLayer(
      archive(file("etc/a", "one", { mode: 0o4755, uid: 1000, gid: 20, mtime: 1_700_000_000 }), file("etc/b", "four")),
    );
    expect(first).toEqual({
      entry: {
        path: "etc/a",
        kind: "file",
        mode: 0o4755,
        uid: 1000,
        gid: 20,
        mtimeSeconds: 1_700_000_000,
        mtimeNanoseconds: 0,
        xattrs: new Map(),
        size: 3,
        linkTarget: "",
        deviceMajor: 0,
        deviceMinor: 0,
        contentOffset: 0,
      },
      contents: Buffer.from("one"),
    });
    expect(second?.entry.contentOffset).toBe(3);
    expect(second?.contents.toString()).toBe("four");
    expect(second?.entry.xattrs).toBe(first?.entry.xattrs);
  });

  it("gives links, devices, FIFOs and directories", () => {
    const entries = readLayer(
      archive(
        header({ name: "d/", type: "5", mode: 0o1777 }),
        header({ name: "s", type: "2", linkName: "../x" }),
        header({ name: "h", type: "1", linkName: "./d/../f" }),
        header({ name: "c", type: "3", major: 5, minor: 1 }),
        header({ name: "b", type: "4", major: 8, minor: 0 }),
        header({ name: "p", type: "6", major: 7 }),
        file("7", "x", { type: "7" }),
      ),
    );
    expect(entries.map(({ entry: e }) => [e.kind, e.path, e.size, e.linkTarget, e.deviceMajor, e.deviceMinor])).toEqual(
      [
        ["directory", "d", 0, "", 0, 0],
        ["symlink", "s", 4, "../x", 0, 0],
        ["hardlink", "h", 0, "./d/../f", 0, 0],
        ["char", "c", 0, "", 5, 1],
        ["block", "b", 0, "", 8, 0],
        ["fifo", "p", 0, "", 0, 0],
        ["file", "7", 1, "", 0, 0],
      ],
    );
  });

  it("accepts an empty stream, a missing end marker and a lone zero block (57)", () => {
    expect(readLayer(new Uint8Array())).toEqual([]);
    expect(readLayer(END)).toEqual([]);
    expect(readLayer(file("a"))).toHaveLength(1);
    expect(readLayer(Buffer.concat([file("a"), Buffer.alloc(512)]))).toHaveLength(1);
  });

  it("ignores everything after the end marker (53)", () => {
    expect(paths(Buffer.concat([archive(file("a")), file("b"), Buffer.from("junk")]))).toEqual(["file a"]);
  });

  it("throws the same error again after it has thrown", () => {
    const reader = createLayerReader({ entry: () => undefined, contents: () => undefined });
    const failing = (): void => reader.push(header({ checksum: "0" }));
    expect(failing).toThrow(/checksum/);
    expect(() => reader.push(header({}))).toThrow(/checksum/);
    expect(() => reader.end()).toThrow(/checksum/);
  });
});

describe("createLayerReader(): formats", () => {
  it("joins ustar's and star's prefix with the name, not GNU's times", () => {
    const star: [number, string][] = [[508, "tar\0"]];
    const times = [[345, "00000000001\x0000000000002\0"]] as const;
    expect(
      paths(
        archive(
          file("n", "", { prefix: "a/b" }),
          file("n", "", { prefix: "s", raw: star }),
          file("n", "", { magic: GNU, raw: times }),
          file("n", "", { magic: GNU, prefix: "old-go" }),
          file("n", "", { magic: "", prefix: "ignored" }),
        ),
      ),
    ).toEqual(["file a/b/n", "file s/n", "file n", "file old-go/n", "file n"]);
  });

  it("adds up the checksum of a header that is nearly all 0xff, and sees a byte that is one less", () => {
    const ones = "\xff".repeat(155);
    const tar = archive(
      file("\xff".repeat(100), "", {
        linkName: ones.slice(0, 100),
        prefix: ones,
        raw: [
          [265, ones.slice(0, 64)],
          [500, ones.slice(0, 12)],
        ],
      }),
    );
    expect(readOne(tar).entry.path).toBe(`${ones}/${"\xff".repeat(100)}`);
    for (const at of [0, 99, 266, 344, 499, 511]) {
      const changed = Buffer.from(tar);
      changed[at] = 0xfe;
      expect(() => readOne(changed)).toThrow(/checksum/);
    }
  });

  it("takes names of exactly 100 bytes and numbers that fill their field", () => {
    const name = "n".repeat(100);
    const { entry } = readOne(archive(file(name, "", { uid: "00001750", mtime: "014712345670" })));
    expect([entry.path, entry.uid, entry.mtimeSeconds]).toEqual([name, 0o1750, 0o14712345670]);
  });

  it("takes padded and empty numbers as Go does", () => {
    const { entry } = readOne(archive(file("a", "", { uid: "  12 \0", gid: "\0\0\0\0\0\0\0\0", mtime: "7\0junk" })));
    expect([entry.uid, entry.gid, entry.mtimeSeconds]).toEqual([10, 0, 7]);
  });

  it("accepts a checksum of signed bytes", () => {
    const signed = header({ name: "\xe9" });
    const sum = signed.reduce(
      (total, byte, index) => total + (index >= 148 && index < 156 ? 32 : (byte << 24) >> 24),
      0,
    );
    expect(paths(archive(header({ name: "\xe9", checksum: `${sum.toString(8).padStart(6, "0")}\0 ` })))).toEqual([
      "file \xe9",
    ]);
  });

  it("reads binary numbers, negative ones too", () => {
    const { entry } = readOne(
      archive(
        file("a", "", {
          magic: GNU,
          uid: base256(4_000_000_000n, 8),
          mtime: base256(-2n, 12),
          mode: base256(0o106755n, 8),
        }),
      ),
    );
    expect([entry.uid, entry.mtimeSeconds, entry.mode]).toEqual([4_000_000_000, -2, 0o6755]);
  });

  it("takes a NUL type with a trailing slash for a directory, and another type for what it is (61)", () => {
    expect(paths(archive(header({ name: "dir/", type: "\0", magic: "" }), header({ name: "f", type: "\0" })))).toEqual([
      "directory dir",
      "file f",
    ]);
    expect(paths(archive(long("L", "long/"), header({ name: "x", type: "\0", magic: GNU })))).toEqual([
      "directory long",
    ]);
    expect(paths(archive(file("f/")))).toEqual(["file f"]);
  });

  it("prefers GNU's long names to those of PAX, and PAX to the header", () => {
    const tar = archive(
      long("L", "gnu"),
      pax({ path: "pax", linkpath: "to-pax" }),
      long("K", "to-gnu"),
      header({ name: "plain", type: "2", linkName: "to-plain" }),
      pax({ path: "pax2" }),
      file("plain"),
      file("plain2"),
    );
    expect(readLayer(tar).map(({ entry }) => [entry.path, entry.linkTarget])).toEqual([
      ["gnu", "to-gnu"],
      ["pax2", ""],
      ["plain2", ""],
    ]);
  });

  it("keeps names and link targets byte for byte (23)", () => {
    const odd = "\xff\xfe\x80/\xc3\x9f\n\x1b";
    const { entry } = readOne(archive(pax({ path: odd, linkpath: `${odd}!` }), header({ type: "2", linkName: "x" })));
    expect([entry.path, entry.linkTarget]).toEqual([odd, `${odd}!`]);
    expect(readOne(archive(file(odd))).entry.path).toBe(odd);
  });
});

describe("createLayerReader(): PAX", () => {
  it("takes size, owner, time and xattrs from the records (41, 65)", () => {
    const tar = archive(
      pax({
        size: "5",
        uid: "300000",
        gid: "+7",
        mtime: "-1.25",
        "SCHILY.xattr.security.capability": "\x01\0\0\x02\xff",
        "SCHILY.xattr.user.a=b": "",
        "LIBARCHIVE.xattr.user.c": "ignored",
      }),
      header({ name: "f", size: 0, mode: 0o6755 }),
      padded("hello"),
    );
    const { entry, contents } = readOne(tar);
    expect(contents.toString()).toBe("hello");
    expect([entry.size, entry.uid, entry.gid, entry.mtimeSeconds, entry.mtimeNanoseconds, entry.mode]).toEqual([
      5, 300_000, 7, -2, 750_000_000, 0o6755,
    ]);
    expect([...entry.xattrs].map(([name, value]) => [name, [...value]])).toEqual([
      ["security.capability", [1, 0, 0, 2, 255]],
      ["user.a", [98, 61]],
    ]);
  });

  it.each([
    ["1.5", 1, 500_000_000],
    ["1.", 1, 0],
    ["1.0000000019", 1, 1],
    ["-0.5", -1, 500_000_000],
    ["-3", -3, 0],
    ["1099511627776", 2 ** 40, 0],
    ["9223372036854775807", 2 ** 52 - 1, 0],
    ["-9223372036854775808", -(2 ** 52 - 1), 0],
  ])("reads time %s exactly, within the safe integers (62)", (text, seconds, nanoseconds) => {
    const { entry } = readOne(archive(pax({ mtime: text }), file("f")));
    expect([entry.mtimeSeconds, entry.mtimeNanoseconds]).toEqual([seconds, nanoseconds]);
  });

  it("lets the last of equal keywords count, and none that is empty (48)", () => {
    const twice = record("path", "first") + record("path", "last");
    expect(paths(archive(pax(twice), file("f")))).toEqual(["file last"]);
    expect(paths(archive(pax(`${twice}${record("path", "")}`), file("f")))).toEqual(["file f"]);
    expect(paths(archive(pax(record("size", "x") + record("size", "0")), file("f")))).toEqual(["file f"]);
  });

  it("gives the size of PAX to the file, not to a long name between them (42)", () => {
    const tar = archive(pax({ size: "3" }), long("L", "name"), header({ name: "x", size: 0 }), padded("abc"));
    const { entry, contents } = readOne(tar);
    expect([entry.path, contents.toString()]).toEqual(["name", "abc"]);
  });

  it("ignores global headers, and with them what came before (51)", () => {
    const tar = archive(
      pax({ path: "global", size: "9" }, "g"),
      file("a", "x"),
      pax({ path: "lost" }),
      pax({}, "g"),
      file("b"),
    );
    expect(paths(tar)).toEqual(["file a", "file b"]);
  });
});

describe("createLayerReader(): sparse files", () => {
  const spans = (...pairs: readonly (readonly [number, number])[]): [number, string][] =>
    pairs.map(([offset, length], index) => [
      index * 24,
      `${offset.toString(8).padStart(11, "0")}\0${length.toString(8).padStart(11, "0")}\0`,
    ]);
  const shift = (by: number, list: [number, string][]): [number, string][] => list.map(([at, text]) => [at + by, text]);

  it("reads GNU's old map, and its extension blocks", () => {
    const extension = Buffer.alloc(512);
    for (const [at, text] of spans([5120, 512], [6000, 100])) extension.write(text, at, "latin1");
    const head = header({
      name: "s",
      type: "S",
      magic: GNU,
      size: 1024 + 612,
      raw: [...shift(386, spans([0, 512], [1024, 256], [1280, 256], [2048, 0])), [482, "\x01"], [483, "00000020000\0"]],
    });
    const { entry, contents } = readOne(archive(head, extension, padded("x".repeat(1636))));
    expect(entry.size).toBe(8192);
    expect(entry.extents).toEqual([
      { offset: 0, length: 512 },
      { offset: 1024, length: 512 },
      { offset: 5120, length: 512 },
      { offset: 6000, length: 100 },
    ]);
    expect(contents).toHaveLength(1636);
  });

  it.each(["0.0", "0.1", "1.0"])("reads GNU's PAX format %s", (version) => {
    const map = "2\n10\n3\n20\n2\n";
    const records = {
      "0.0":
        record("GNU.sparse.size", "30") +
        record("GNU.sparse.numblocks", "2") +
        record("GNU.sparse.offset", "10") +
        record("GNU.sparse.numbytes", "3") +
        record("GNU.sparse.offset", "20") +
        record("GNU.sparse.numbytes", "2"),
      "0.1":
        record("GNU.sparse.size", "30") + record("GNU.sparse.numblocks", "2") + record("GNU.sparse.map", "10,3,20,2"),
      "1.0": record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "30"),
    }[version];
    const inData = version === "1.0";
    const tar = archive(
      pax(`${records}${record("GNU.sparse.name", "real")}`),
      header({ name: "GNUSparseFile.0/s", size: (inData ? 512 : 0) + 5 }),
      ...(inData ? [padded(map)] : []),
      padded("abcde"),
      file("next"),
    );
    const [first, second] = readLayer(tar);
    expect(first?.entry).toMatchObject({
      path: "real",
      size: 30,
      extents: [
        { offset: 10, length: 3 },
        { offset: 20, length: 2 },
      ],
    });
    expect(first?.contents.toString()).toBe("abcde");
    expect(second?.entry).toMatchObject({ path: "next", contentOffset: 5 });
  });

  it("has no extents for a map without holes, and empty ones for nothing but a hole", () => {
    const mapped = (map: string, size: string, body: string): Buffer =>
      archive(
        pax({
          "GNU.sparse.major": "0",
          "GNU.sparse.minor": "1",
          "GNU.sparse.size": size,
          "GNU.sparse.numblocks": map === "" ? "0" : "1",
          "GNU.sparse.map": map,
        }),
        file("s", body),
      );
    expect(readOne(mapped("0,5", "5", "abcde")).entry).not.toHaveProperty("extents");
    expect(readOne(mapped("", "5", "")).entry).toMatchObject({ size: 5, extents: [] });
  });

  it("takes an unknown version for a plain file", () => {
    const { entry } = readOne(archive(pax({ "GNU.sparse.major": "2", "GNU.sparse.minor": "0" }), file("s", "abc")));
    expect(entry.size).toBe(3);
    expect(entry).not.toHaveProperty("extents");
  });
});

describe("createLayerReader(): its error", () => {
  it("names the entry, escaped, and the rule", () => {
    expect(refusal(archive(pax({ path: "a\x1b\xff", uid: "-1" }), file("x")))).toEqual({
      code: "layer_invalid",
      message: 'cannot read layer entry "a\\x1b\\xff": uid -1 is not one',
    });
  });

  it("names the place where there is no entry yet", () => {
    expect(refusal(Buffer.concat([file("a"), header({ checksum: "1", magic: USTAR })]))).toEqual({
      code: "tar_invalid",
      message: "cannot read layer at byte 512: the header's checksum is wrong",
    });
  });
});
