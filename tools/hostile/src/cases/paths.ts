import { aDirectory, aFile, holds, type HostileCase, IMPLIED, refused, EVERY_FORMAT } from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax } from "../pax-bytes.js";
import { directory, file, hardLink, symlink, tar } from "../tar-bytes.js";

const etc = { etc: IMPLIED, "etc/x": aFile("in") };
const NAME_255 = "n".repeat(255);
const PATH_4096 = `${"d/".repeat(2047)}ff`;
const DEEP_1000 = "d/".repeat(1000);

/** Names that want out of the image, and names that no system could hold. */
export const pathCases: readonly HostileCase[] = [
  {
    row: 1,
    title: "a file named ../../evil stays in the image",
    rule: "contain",
    files: () => imageOf(tar(file("../../evil", "in"))),
    expected: holds({ evil: aFile("in") }),
  },
  {
    row: 2,
    title: "a file named /abs/x is below the image's root",
    rule: "contain",
    files: () => imageOf(tar(file("/abs/x", "in"), file("//etc/x", "in"))),
    expected: holds({ abs: IMPLIED, "abs/x": aFile("in"), ...etc }),
  },
  {
    row: 3,
    title: "a path that climbs midway stays in the image",
    rule: "contain",
    files: () => imageOf(tar(file("a/../../b", "in"), file("./c/./..//../etc/x", "in"))),
    expected: holds({ b: aFile("in"), ...etc }),
  },
  {
    row: 4,
    title: "entries named .., . or nothing are passed over, with their bodies",
    rule: "ignore",
    files: () =>
      imageOf(
        tar(
          symlink("..", "/etc"),
          symlink("", "/etc"),
          symlink(".", "/etc"),
          symlink("./", "/etc"),
          file("/", "body"),
          file("a/..", "body"),
          file("kept", "in"),
        ),
      ),
    expected: holds({ "": aDirectory(), kept: aFile("in") }),
  },
  {
    row: 21,
    title: "names that other systems fold together are distinct",
    rule: "accept",
    files: () =>
      imageOf(
        tar(
          file("\xc3\x9f", "1"),
          file("ss", "2"),
          file("\xc3\xa9", "3"),
          file("e\xcc\x81", "4"),
          file("A", "5"),
          file("a", "6"),
        ),
      ),
    expected: holds({
      "\xc3\x9f": aFile("1"),
      ss: aFile("2"),
      "\xc3\xa9": aFile("3"),
      "e\xcc\x81": aFile("4"),
      A: aFile("5"),
      a: aFile("6"),
    }),
  },
  {
    row: 22,
    title: "names with control characters, markup and changes of direction are kept",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () =>
      imageOf(tar(file("a\nb", "1"), file("\x1b[2J", "2"), file("\xe2\x80\xaetxt", "3"), file("<script>", "4"))),
    expected: holds({
      "a\nb": aFile("1"),
      "\x1b[2J": aFile("2"),
      "\xe2\x80\xaetxt": aFile("3"),
      "<script>": aFile("4"),
    }),
  },
  {
    row: 22,
    title: "control characters of a name that is refused are escaped",
    rule: "refuse",
    files: () => imageOf(tar(file("a\n\x1b[31m\xe2\x80\xae\xff", "", { type: "Z" }))),
    expected: refused(String.raw`a\n\x1b[31m\u{202e}\xff`, "type 0x5a"),
  },
  {
    row: 23,
    title: "a name of bytes that are no UTF-8 is kept byte for byte",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () => imageOf(tar(file("\xff\xfe\x80", "in"), pax({ path: "d/\xc3\x28\xf0" }), file("x", "in"))),
    expected: holds({ "\xff\xfe\x80": aFile("in"), d: IMPLIED, "d/\xc3\x28\xf0": aFile("in") }),
  },
  {
    row: 24,
    title: "a name of 256 bytes is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ path: `a/${NAME_255}n` }), file("x"))),
    expected: refused("nnn", "over 255 bytes"),
  },
  {
    row: 24,
    title: "a path of 4097 bytes is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ path: `${PATH_4096}f` }), file("x"))),
    expected: refused("over 4096 bytes"),
  },
  {
    row: 24,
    title: "the longest name is taken",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () => imageOf(tar(pax({ path: `${NAME_255}/${NAME_255}` }), file("x", "in"))),
    expected: holds({ [NAME_255]: IMPLIED, [`${NAME_255}/${NAME_255}`]: aFile("in") }),
  },
  {
    row: 25,
    title: "a path 10,000 deep is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ path: "d/".repeat(10_000) }), file("x"))),
    expected: refused("over 4096 bytes"),
  },
  {
    row: 25,
    title: "depth hidden behind symlinks is refused",
    rule: "refuse",
    files: () =>
      imageOf(
        tar(
          pax({ path: `${DEEP_1000}e` }),
          directory("x"),
          pax({ linkpath: `${DEEP_1000}e` }),
          symlink("l", "x"),
          pax({ path: `l/${DEEP_1000}e` }),
          directory("x"),
          pax({ linkpath: `l/${DEEP_1000}e` }),
          symlink("m", "x"),
          pax({ path: `m/${DEEP_1000}e` }),
          directory("x"),
        ),
      ),
    expected: refused("resolved path", "over 4096 bytes"),
  },
  {
    row: 26,
    title: "an entry for the root gives the root its mode and owner",
    rule: "accept",
    files: () => imageOf(tar(directory("./", { mode: 0o700, uid: 7, gid: 8 }), file("f", "in"))),
    expected: holds({ "": aDirectory({ mode: 0o700, uid: 7, gid: 8 }), f: aFile("in") }),
  },
  {
    row: 27,
    title: "missing parents are made, 0755 and owned by root",
    rule: "accept",
    files: () => imageOf(tar(file("a/b/c", "in", { uid: 5, mode: 0o600 }))),
    expected: holds({ a: IMPLIED, "a/b": IMPLIED, "a/b/c": aFile("in", { uid: 5, mode: 0o600 }) }),
  },
  {
    title: "backslashes and drive letters are ordinary characters",
    rule: "accept",
    files: () => imageOf(tar(file(String.raw`..\..\evil`, "1"), file("C:evil", "2"), file("a:stream", "3"))),
    expected: holds({ [String.raw`..\..\evil`]: aFile("1"), "C:evil": aFile("2"), "a:stream": aFile("3") }),
  },
  {
    title: "names of dots and spaces are ordinary names",
    rule: "accept",
    files: () =>
      imageOf(tar(file("...", "1"), file(".. ", "2"), file(" ..", "3"), file("..a/..", "4"), file("-rf", "5"))),
    expected: holds({ "...": aFile("1"), ".. ": aFile("2"), " ..": aFile("3"), "-rf": aFile("5") }),
  },
  {
    title: "names that JavaScript's objects have already are ordinary names",
    rule: "accept",
    files: () => imageOf(tar(file("__proto__/x", "1"), file("constructor", "2"), file("toString", "3"))),
    expected: holds({
      ["__proto__"]: IMPLIED,
      "__proto__/x": aFile("1"),
      constructor: aFile("2"),
      toString: aFile("3"),
    }),
  },
  {
    title: "a path of the prefix field and the name field climbs no higher than the root",
    rule: "contain",
    files: () => imageOf(tar(file("../../etc/x", "in", { prefix: "../../.." }))),
    expected: holds(etc),
  },
  {
    title: "a root that is a file or a link stays the image's directory in an upper layer too",
    rule: "ignore",
    files: () => imageOf(tar(file("kept", "in")), tar(hardLink("./", "kept"), symlink("a/..", "/etc"), file("."))),
    expected: holds({ "": aDirectory(), kept: aFile("in") }),
  },
];
