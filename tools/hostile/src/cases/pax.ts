import { aDirectory, aFile, holds, type HostileCase, IMPLIED, refused, EVERY_FORMAT } from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax, paxGlobal, paxRecord } from "../pax-bytes.js";
import { directory, file, gnuLong, GNU_MAGIC, header, symlink, tar } from "../tar-bytes.js";

const MIB = 2 ** 20;

function refusedPax(
  row: number | undefined,
  title: string,
  words: readonly string[],
  ...blocks: Uint8Array[]
): HostileCase {
  return {
    ...(row !== undefined && { row }),
    title,
    rule: "refuse",
    files: () => imageOf(tar(...blocks, file("f"))),
    expected: refused("cannot read layer", ...words),
  };
}

/** Extended headers that lie, repeat, or say what only some readers hear. */
export const paxCases: readonly HostileCase[] = [
  refusedPax(43, "a negative PAX size is refused", ['"f"', "size is negative"], pax({ size: "-1" })),
  refusedPax(
    44,
    "a PAX size of 2^53 is refused",
    ['"f"', "size is over 9007199254740991"],
    pax({ size: "9007199254740992" }),
  ),
  refusedPax(44, "a PAX size of 2^63 is refused", ["PAX size is not a decimal"], pax({ size: "9223372036854775808" })),
  ...["0x10", "1e3", " 5", "5 ", "+", "-", "5.0", "1_0", "\xd9\xa5", "NaN"].map((size, index) =>
    refusedPax(
      45,
      `a PAX size that is no number is refused (${index + 1})`,
      ["PAX size is not a decimal"],
      pax({ size }),
    ),
  ),
  refusedPax(47, "a NUL in a PAX path is refused", ["PAX path has a NUL"], pax({ path: "a\0b" })),
  refusedPax(47, "a NUL in a PAX link target is refused", ["PAX linkpath has a NUL"], pax({ linkpath: "a\0b" })),
  refusedPax(47, "a NUL in a PAX keyword is refused", ["keyword", "NUL"], pax({ "a\0": "b" })),
  {
    row: 48,
    title: "of a PAX keyword that comes twice the last one counts",
    rule: "accept",
    files: () => imageOf(tar(pax(paxRecord("path", "../one") + paxRecord("path", "two")), file("f", "in"))),
    expected: holds({ two: aFile("in") }),
  },
  ...[
    ["0 path=abc\n", "is 0"],
    ["4 a=\n", "is below the least"],
    ["9 path=abc\n", "is too short"],
    ["99 path=abc\n", "is too long"],
    ["-12 path=abc\n", "is negative"],
    ["99999999999999999999 path=abc\n", "has 20 digits"],
    ["path=abc\n", "is not there"],
    ["12 path=abcd", "ends on no newline"],
    ["0x0c path=a\n", "is hexadecimal"],
  ].map(([text = "", what = ""]) =>
    refusedPax(49, `a PAX record whose length ${what} is refused`, ["length of a PAX record is wrong"], pax(text)),
  ),
  refusedPax(49, "a PAX record without an equals sign is refused", ["no keyword and value"], pax("9 pathab\n")),
  refusedPax(49, "a PAX record without a keyword is refused", ["keyword is empty"], pax("7 =abc\n")),
  refusedPax(
    49,
    "a global header whose length lies is refused",
    ["length of a PAX record is wrong"],
    paxGlobal("99 path=abc\n"),
  ),
  ...["x", "g", "L", "K"].map((type) =>
    refusedPax(
      50,
      `an extended header ${type} of over 1 MiB is refused`,
      ["over 1048576 bytes"],
      header("h", { type, size: MIB + 1, magic: GNU_MAGIC }),
    ),
  ),
  refusedPax(
    50,
    "an extended header of 2^40 bytes is refused before its body",
    ["over 1048576 bytes"],
    header("h", { type: "x", size: Buffer.from("800000000000010000000000", "hex") }),
  ),
  {
    row: 51,
    title: "a global header's path and size are passed over",
    rule: "ignore",
    files: () =>
      imageOf(tar(paxGlobal({ path: "../../evil", size: "512", uid: "7" }), file("f", "in"), file("g", "in"))),
    expected: holds({ f: aFile("in", { uid: 0 }), g: aFile("in", { uid: 0 }) }),
  },
  {
    row: 62,
    title: "times before 1970 and after 2038 are kept in the tree and clamped on the disk",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () =>
      imageOf(
        tar(
          pax({ mtime: "-1.5" }),
          file("past", "1"),
          pax({ mtime: `${2 ** 40}` }),
          file("future", "2"),
          pax({ mtime: `-${2 ** 40}` }),
          file("ancient", "3"),
          pax({ mtime: "9223372036854775807.9999999999999" }),
          file("end", "4"),
        ),
      ),
    expected: holds({
      past: aFile("1", { mtimeSeconds: -2 }),
      future: aFile("2", { mtimeSeconds: 2 ** 40 }),
      ancient: aFile("3", { mtimeSeconds: -(2 ** 40) }),
      end: aFile("4"),
    }),
  },
  ...["1.5x", "yesterday", ".", "1e9", "--1"].map((mtime, index) =>
    refusedPax(62, `a PAX time that is none is refused (${index + 1})`, ["PAX mtime is not a time"], pax({ mtime })),
  ),
  refusedPax(63, "a uid of -1 is refused", ['"f"', "uid -1 is not one"], pax({ uid: "-1" })),
  refusedPax(63, "a uid of letters is refused", ["PAX uid is not a decimal"], pax({ uid: "abc" })),
  refusedPax(63, "a uid of 2^33 is refused", ['"f"', "uid 8589934592 is not one"], pax({ uid: "8589934592" })),
  refusedPax(63, "a gid of 2^32 - 1 is refused", ['"f"', "gid 4294967295 is not one"], pax({ gid: "4294967295" })),
  {
    row: 63,
    title: "the greatest uid is taken",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () => imageOf(tar(pax({ uid: "4294967294", gid: "4294967294" }), file("f", "in"))),
    expected: holds({ f: aFile("in", { uid: 4294967294, gid: 4294967294 }) }),
  },
  {
    title: "of two extended headers in a row the second one counts",
    rule: "accept",
    files: () => imageOf(tar(pax({ path: "one", mtime: "5" }), pax({ path: "two" }), file("f", "in"))),
    expected: holds({ two: aFile("in") }),
  },
  {
    title: "a PAX path and a GNU long name together: GNU's counts, as Go has it",
    rule: "accept",
    files: () => imageOf(tar(gnuLong("L", "gnu"), pax({ path: "pax" }), file("f", "in"))),
    expected: holds({ gnu: aFile("in") }),
  },
  {
    title: "an empty PAX path leaves the header's name",
    rule: "accept",
    files: () => imageOf(tar(pax({ path: "", linkpath: "" }), file("f", "in"))),
    expected: holds({ f: aFile("in") }),
  },
  {
    title: "a PAX path climbs no higher than the root",
    rule: "contain",
    files: () => imageOf(tar(pax({ path: "../../../etc/x" }), file("f", "in"))),
    expected: holds({ etc: IMPLIED, "etc/x": aFile("in") }),
  },
  {
    title: "a PAX path that ends with a slash does not make a file a directory",
    rule: "accept",
    files: () => imageOf(tar(pax({ path: "d/" }), file("f", "in"))),
    expected: holds({ d: aFile("in") }),
  },
  {
    title: "a PAX size of a directory and of a symlink has no body",
    rule: "accept",
    files: () =>
      imageOf(tar(pax({ size: "512" }), directory("d"), pax({ size: "512" }), symlink("s", "d"), file("seen", "in"))),
    expected: holds({ d: aDirectory(), s: { kind: "symlink", linkTarget: "d" }, seen: aFile("in") }),
  },
  {
    title: "records that nobody knows are passed over, whatever they hold",
    rule: "ignore",
    files: () =>
      imageOf(
        tar(pax({ "LIBARCHIVE.x": "\0\n\xff", hdrcharset: "BINARY", comment: "=\n=", type: "5" }), file("f", "in")),
      ),
    expected: holds({ f: aFile("in") }),
  },
  {
    title: "an extended header that nothing follows is the end",
    rule: "accept",
    files: () => imageOf(Buffer.concat([file("f", "in"), pax({ path: "gone" })])),
    expected: holds({ f: aFile("in") }),
  },
  {
    title: "a value with an equals sign and a newline in it is one value",
    rule: "accept",
    files: () => imageOf(tar(pax({ path: "a=b\n20 path=evil" }), file("f", "in"))),
    expected: holds({ "a=b\n20 path=evil": aFile("in") }),
  },
];
